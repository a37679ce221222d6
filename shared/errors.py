"""The one error family. Every failure has a stable code, a sentence for people, and what to do about it.

The catalogue is data, known to both ends of the cable: a code that crosses the wire is looked up here, so an
operator reads our words and never a stranger's. The documentation's list of errors is generated from it.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Final


class ExitCode(IntEnum):
    """What our commands exit with. 2 is left to click, for a command line that does not parse."""

    OK = 0
    FAILED = 1
    TRY_AGAIN = 75  # EX_TEMPFAIL of sysexits.h: the same command may succeed later


@dataclass(frozen=True, slots=True)
class Fault:
    """One kind of failure: what happened, what to do, and whether trying again by itself can help."""

    code: str
    sentence: str
    advice: str
    retry: bool = False


class BirthmarkError(Exception):
    """A failure with a code from the catalogue.

    `detail` adds the particulars of this one occurrence to the sentence. It is for the operator of the machine
    where the error was raised: it may hold a path or a number, never a secret, and never text from the peer that
    has not gone through `shared.text`.
    """

    def __init__(self, code: str, detail: str = "") -> None:
        self.fault: Final = CATALOGUE[code]
        self.detail: Final = detail
        super().__init__(code, detail)

    @property
    def code(self) -> str:
        return self.fault.code

    @property
    def sentence(self) -> str:
        return f"{self.fault.sentence}: {self.detail}" if self.detail else self.fault.sentence

    @property
    def advice(self) -> str:
        return self.fault.advice

    @property
    def exit_code(self) -> ExitCode:
        return ExitCode.TRY_AGAIN if self.fault.retry else ExitCode.FAILED

    def __str__(self) -> str:
        return f"{self.sentence} [{self.code}]"


def described(error: BirthmarkError) -> str:
    """An error as a command tells it to a person: what happened, what to do, and the code to look it up by."""
    return f"error: {error.sentence}\n  {error.advice}\n  [{error.code}]"


def _catalogue(*faults: Fault) -> dict[str, Fault]:
    by_code = {fault.code: fault for fault in faults}
    if len(by_code) != len(faults):
        raise ValueError("a code stands twice in the catalogue")
    return by_code


CATALOGUE: Final[dict[str, Fault]] = _catalogue(
    # --- attestation: the station on a TPM's proofs ---
    Fault(
        "attestation.ek-malformed",
        "the endorsement key certificate cannot be read",
        "Try it with `birthmark-station ek verify FILE`; the TPM or its NV index may be damaged.",
    ),
    Fault(
        "attestation.ek-missing",
        "the TPM has no endorsement key certificate",
        "Use a TPM with its maker's certificate, or provision with `--ek-policy record`.",
    ),
    Fault(
        "attestation.ek-untrusted",
        "the endorsement key certificate leads to no known manufacturer",
        "Put the TPM maker's root and intermediate certificates into the station's ek_roots directory; "
        "if it is there already, this TPM is not genuine.",
    ),
    # --- the cable ---
    Fault(
        "link.busy",
        "the serial port is in use by another program",
        "Close the other program (a terminal, ModemManager, a second agent or station) and try again.",
        retry=True,
    ),
    Fault(
        "link.frame-too-large",
        "a frame is larger than 64 KiB",
        "The other end is not a Birthmark program of a known version; look at what is plugged in.",
    ),
    Fault(
        "link.lost",
        "the cable was pulled or the port has vanished",
        "Plug the unit in again; it goes on where it was, and nothing is issued twice.",
        retry=True,
    ),
    Fault(
        "link.no-port",
        "there is no such serial port",
        "Check the path; on a Pi, /dev/ttyGS0 needs the USB gadget (dtoverlay=dwc2,dr_mode=peripheral).",
        retry=True,
    ),
    Fault(
        "link.noise",
        "the line carries too much noise for a session",
        "Another program writes to this port, or the cable is damaged.",
        retry=True,
    ),
    Fault(
        "link.not-a-port",
        "that path is not a serial port",
        "Give the path of a tty, such as /dev/ttyACM0 or /dev/ttyGS0.",
    ),
    Fault(
        "link.permission",
        "no permission to open the serial port",
        "Add the user to the group that owns the port (often dialout), or install the udev rule.",
    ),
    Fault(
        "link.silent",
        "the other end went silent in the middle of a session",
        "Check the cable and plug the unit in again.",
        retry=True,
    ),
    # --- messages ---
    Fault(
        "message.field-invalid",
        "a field of a message is missing, of the wrong type, or out of its limits",
        "The other end is faulty or hostile; check that both run current versions.",
    ),
    Fault(
        "message.malformed",
        "a message cannot be decoded",
        "The other end is not a Birthmark program; look at what is plugged in.",
    ),
    Fault(
        "message.unknown",
        "a message is of an unknown kind",
        "Update the older of station and agent so that both speak the same version.",
    ),
    Fault(
        "message.version-unknown",
        "a message has a version this program does not speak",
        "Update the older of station and agent so that both speak the same version.",
    ),
    # --- the session ---
    Fault(
        "session.challenge-malformed",
        "the station's challenge makes no sense",
        "The station is faulty or false; do not plug the unit into it.",
    ),
    Fault(
        "session.internal",
        "an unexpected error stopped the session",
        "Look into the log for the whole story, and report it; the unit can be plugged in again.",
        retry=True,
    ),
    Fault(
        "session.refused",
        "the other end refused for a reason this version does not know",
        "Look at the other end; update the older of the two.",
    ),
    Fault(
        "session.unexpected-message",
        "a message came that may not come at this point",
        "The other end is faulty or hostile; unplug it.",
    ),
    # --- who a unit says it is ---
    Fault(
        "identity.serial-invalid",
        "the board serial is not 1 to 64 letters, digits and . _ : - of ASCII",
        "Give the board's serial with --serial, as printed by `cat /proc/device-tree/serial-number`.",
    ),
    # --- NUC hash, key tables and tokens ---
    Fault(
        "nuc.hash-malformed",
        "the NUC hash is not a hash",
        "Capture the NUC map again with `birthmark-agent nuc capture`.",
    ),
    Fault(
        "nuc.not-sealed-here",
        "the NUC hash was not sealed for this session",
        "The unit is faulty or replays an old session; plug it in again.",
    ),
    Fault("table.id-out-of-range", "there is no such key table", "Table ids go from 0 to 2,499."),
    Fault("table.index-out-of-range", "there is no such key index", "Key indices go from 0 to 999."),
    Fault(
        "table.master-key-malformed",
        "a master key is not 32 bytes",
        "The key tables are damaged; restore the data directory from a backup.",
    ),
    Fault(
        "token.not-authentic",
        "the token does not open under its key",
        "The token was changed, or made with another table.",
    ),
    # --- the station's data and configuration ---
    Fault(
        "authority.unreadable",
        "the authority's certificates or keys cannot be used",
        "Restore the data directory from a backup.",
    ),
    Fault("config.invalid", "a setting is not valid", "Correct it; `--help` and docs/operator.md name the limits."),
    Fault(
        "data.exists",
        "there is something in that directory already",
        "Choose another directory, or add --force: the old one is then moved aside, not deleted.",
    ),
    Fault(
        "data.incomplete",
        "the data directory is not whole",
        "Restore it from a backup; `birthmark-station init` makes a new one elsewhere.",
    ),
    Fault("data.missing", "there is no data directory", "Make one with `birthmark-station init --data-dir DIR`."),
    Fault(
        "data.readable-by-others",
        "the data directory or a file in it can be read by others",
        "Take the permissions away (chmod -R go-rwx DIR), and consider whether the keys in it are still secret.",
    ),
    Fault("data.unreadable", "the data directory cannot be read", "Run as the user who owns it."),
    Fault("data.unwritable", "the directory cannot be written", "Check its owner and the space on its disk."),
    Fault(
        "http.cannot-listen",
        "the page's address cannot be used",
        "Another program, perhaps another station, uses it; choose another with --port.",
    ),
    Fault(
        "http.not-loopback",
        "the page may only be served on a loopback address",
        "Use 127.0.0.1, and reach it from elsewhere through an SSH tunnel: ssh -L 8001:127.0.0.1:8001 STATION.",
    ),
    # --- the registry ---
    Fault(
        "identity.unknown-certificate",
        "the unit says it holds a certificate that this authority did not give it",
        "It was provisioned elsewhere; remove its identity with `birthmark-agent reset` to provision it here.",
    ),
    Fault(
        "registry.device-key-changed",
        "this unit's TPM now has another device key",
        "If its TPM was replaced or cleared on purpose, `birthmark-station release SERIAL` and plug it in again.",
    ),
    Fault(
        "registry.device-key-taken",
        "the device key belongs to another unit",
        "No two TPMs make the same key: the unit is a copy. Keep it, and find the other.",
    ),
    Fault(
        "registry.duplicate-nuc",
        "another unit has the same NUC hash",
        "Two sensors never have the same map: capture this unit's NUC map again on its own sensor.",
    ),
    Fault(
        "registry.ek-taken",
        "this TPM belongs to a unit with another serial number",
        "If the TPM was moved to another board on purpose, `birthmark-station release SERIAL` the old unit first.",
    ),
    Fault(
        "registry.nuc-changed",
        "this unit comes back with another NUC hash",
        "If its sensor was replaced on purpose, `birthmark-station release SERIAL` and plug it in again.",
    ),
    Fault(
        "registry.released-meanwhile",
        "the unit was released while it was being provisioned",
        "Plug it in again.",
        retry=True,
    ),
    Fault(
        "registry.serial-taken",
        "another unit has this serial number",
        "Two boards never share one: check --serial, or `birthmark-station release SERIAL` if the TPM was replaced.",
    ),
    Fault("registry.too-new", "the registry was written by a newer version", "Update this station."),
    Fault(
        "registry.unavailable",
        "the registry cannot be used at the moment",
        "Check the disk's space and that no backup holds it locked; nothing was lost, plug the unit in again.",
        retry=True,
    ),
    Fault("registry.unknown-unit", "there is no such unit", "`birthmark-station devices` lists them."),
    Fault(
        "session.receipt-differs",
        "the unit stored something else than it was given",
        "Plug the unit in again; if it stays so, its storage is damaged.",
        retry=True,
    ),
    Fault("session.receipt-forged", "the unit's receipt is not signed by its key", "The unit is faulty or hostile."),
    Fault(
        "session.refused-by-unit",
        "the unit ended the session",
        "The reason is the unit's; its own log (journalctl -u birthmark-agent) says more.",
    ),
    Fault("table.unknown", "this authority has no such key table", "It has as many as were chosen at `init`."),
    Fault(
        "table.unsealable",
        "a key table does not open under the station secret",
        "The secret is of another station or the registry is damaged; restore the data directory from a backup.",
    ),
)
