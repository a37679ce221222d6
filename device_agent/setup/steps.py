"""Sets a Pi up: reads and checks everything, then writes what is missing. `cli.setup` asks and prints.

Run again, it finds everything in place and changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path, PurePosixPath
from typing import Final

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives import hashes

from device_agent.nuc_map import format as map_file
from device_agent.session.trusted_authority import read_intermediate, read_root
from device_agent.setup import system as places
from device_agent.setup.config_txt import USB_DEVICE, Edit, overlay_lines, with_overlays
from device_agent.setup.settings import setting, with_setting, without_setting
from device_agent.setup.system import System
from device_agent.storage.sealed_map import read_nuc_map
from device_agent.tpm.source import DEFAULT_TPM, SIMULATOR, open_tpm
from runtime.clock import utc_now
from runtime.files import read_bounded
from runtime.owner import User
from shared.errors import BirthmarkError
from shared.text import printable

ROOT_SETTING: Final = "BIRTHMARK_ROOT_CERTIFICATE"
INTERMEDIATE_SETTING: Final = "BIRTHMARK_INTERMEDIATE_CERTIFICATE"
BACKUP: Final = ".before-birthmark"
CAPTURE: Final = f"sudo birthmark-agent nuc capture --output {places.NUC_MAP}"
_CERTIFICATE_BYTES: Final = 64 * 1024


class Outcome(StrEnum):
    DONE = "done"
    ALREADY = "already so"
    LATER = "after the restart"
    MISSING = "still missing"
    LEFT_OUT = "left out"


class Step(msgspec.Struct, frozen=True):
    """The result of one step."""

    what: str
    outcome: Outcome
    text: str


class Report(msgspec.Struct, frozen=True):
    steps: tuple[Step, ...]
    changed: bool
    restart_needed: bool
    next: tuple[str, ...]
    """What is left to do, in order; commands are between backquotes."""


@dataclass(frozen=True, slots=True)
class Answers:
    """The operator's answers. `replace` is called before a file with other content is replaced; it raises for a no."""

    root: Path | None
    trust_first_station: bool
    nuc_map: Path | None
    usb_overlay: bool
    tpm_overlay: str | None
    """Name of the overlay for the TPM's hat; None for none."""
    config_txt: PurePosixPath | None
    tpm: str | None
    """The TPM to use; None for the kernel's, on a running Pi."""
    replace: Callable[[str], None]
    intermediate: Path | None = None
    """Of the authority of `root`, or of the root that is trusted already."""


def root_known(system: System) -> bool:
    """Whether a root certificate is set and exists."""
    return bool(_root_set(system))


def set_up(system: System, answers: Answers) -> Report:
    """Raises `setup.*`, `trust.*`, `nuc.map-*`, `file.unreadable` and `disk.*`; all but the last, and what `replace`
    raises, before anything is changed."""
    user = system.service_user()
    boot = _Boot(system, answers)
    root = _Root(system, answers)
    intermediate = _Intermediate(system, answers, root)
    nuc_map = _NucMap(system, answers, user)
    booting = boot.apply()
    steps = [*booting, root.apply(), *intermediate.apply(), nuc_map.apply()]
    tpm = _tpm_step(system, answers)
    steps.insert(len(booting), tpm)
    if (root.changed or intermediate.changed) and system.restart_agent():
        steps.append(Step("Service", Outcome.DONE, "birthmark-agent was restarted, to take the new settings."))
    restart = system.live and (
        boot.changed
        or (answers.usb_overlay and not system.has_usb_device())
        or (answers.tpm_overlay is not None and tpm.outcome is Outcome.LATER)
    )
    return Report(
        tuple(steps),
        any(step.outcome is Outcome.DONE for step in steps),
        restart,
        tuple(_next(system, nuc_map, restart=restart)),
    )


class _Boot:
    """The overlays in config.txt."""

    def __init__(self, system: System, answers: Answers) -> None:
        self._system = system
        self._usb = (USB_DEVICE,) if answers.usb_overlay else ()
        self._tpm = (answers.tpm_overlay,) if answers.tpm_overlay else ()
        self._edit: Edit | None = None
        self.changed = False
        if self._usb or self._tpm:
            self._path = answers.config_txt or system.config_txt()
            before = system.read(self._path)
            if before is None:
                raise BirthmarkError("setup.config-missing", str(system.place(self._path)))
            self._before = before
            self._edit = with_overlays(before, self._usb + self._tpm)

    def apply(self) -> list[Step]:
        edit = self._edit
        if edit is None:
            return [Step("Boot settings", Outcome.LEFT_OUT, "config.txt was not looked at.")]
        if not edit.changed:
            lines = " and ".join(line for overlay in self._usb + self._tpm for line in overlay_lines(overlay))
            return [Step("Boot settings", Outcome.ALREADY, f"{self._path} has {lines}.")]
        backup = self._path.with_name(self._path.name + BACKUP)
        self._system.write(backup, self._before)
        self._system.write(self._path, edit.content)
        self.changed = True
        said = f"Added {' and '.join(edit.added)} to {self._path}, under [all]." if edit.added else ""
        if edit.disabled:
            said += f" Made {', '.join(edit.disabled)} a comment: it makes the USB port a host's."
        if edit.outdone:
            said += f" {', '.join(edit.outdone)} stays: the later line wins."
        return [Step("Boot settings", Outcome.DONE, f"{said.strip()} The file as it was: {backup}.")]


class _Root:
    """The certificate to trust."""

    def __init__(self, system: System, answers: Answers) -> None:
        self._system = system
        self._answers = answers
        self._settings = _settings(system)
        self._set = _root_set(system)
        self.changed = False
        self._data = b""
        if answers.root is None:
            return
        self._data = _read_file(answers.root)
        self.certificate = read_root(self._data)
        self._there = system.read(places.ROOT_CERTIFICATE)
        if self._there not in (None, self._data) or self._set not in ("", str(places.ROOT_CERTIFICATE)):
            answers.replace(
                f"Another root certificate is trusted already ({self._set or places.ROOT_CERTIFICATE}). Replace it?"
            )

    def apply(self) -> Step:
        if not self._data:
            if self._set:
                return Step("Root certificate", Outcome.ALREADY, f"{self._set} is trusted.")
            return Step(
                "Root certificate",
                Outcome.LEFT_OUT,
                "None: the first station that provisions this Pi is trusted, whoever's it is.",
            )
        about = _about(self.certificate)
        settings = with_setting(self._settings, ROOT_SETTING, places.ROOT_CERTIFICATE)
        if self._there == self._data and settings == self._settings:
            return Step("Root certificate", Outcome.ALREADY, f"{places.ROOT_CERTIFICATE} is trusted ({about}).")
        self._system.write(places.ROOT_CERTIFICATE, self._data)
        if settings != self._settings:
            self._system.write(places.SETTINGS, settings.encode())
        self.changed = True
        text = f"{places.ROOT_CERTIFICATE} is trusted from now on ({about}), as {places.SETTINGS} says."
        return Step("Root certificate", Outcome.DONE, text)


class _Intermediate:
    """The intermediate to trust under the root, for an authority that needs it. It goes when another root comes."""

    def __init__(self, system: System, answers: Answers, root: _Root) -> None:
        self._system = system
        self._set = setting(_settings(system), INTERMEDIATE_SETTING)
        self._goes = bool(self._set) and answers.root is not None and not self._is_of(root.certificate)
        self.changed = False
        self._data = b""
        if answers.intermediate is None:
            return
        self._data = _read_file(answers.intermediate)
        trusted = root.certificate if answers.root else read_root(_read_trusted(system, _root_set(system)))
        self._certificate = read_intermediate(self._data, trusted)
        self._there = system.read(places.INTERMEDIATE)
        stays = bool(self._set) and not self._goes
        if stays and _read_trusted(system, self._set) != self._data:
            answers.replace(f"Another intermediate certificate is trusted already ({self._set}). Replace it?")

    def _is_of(self, root: x509.Certificate) -> bool:
        """Whether the one that is set is `root`'s. An earlier setup may have been cut off between the two."""
        data = _read_trusted(self._system, self._set)
        try:
            read_intermediate(data, root)
        except BirthmarkError:
            return False
        return True

    def apply(self) -> list[Step]:
        what, before = "Intermediate certificate", _settings(self._system)
        if not self._data:
            if not self._goes:
                return [Step(what, Outcome.ALREADY, f"{self._set} is trusted.")] if self._set else []
            self._write_settings(without_setting(before, INTERMEDIATE_SETTING))
            return [Step(what, Outcome.DONE, f"{self._set} is no longer trusted: it is not that root's.")]
        about = _about(self._certificate)
        settings = with_setting(before, INTERMEDIATE_SETTING, places.INTERMEDIATE)
        if self._there == self._data and settings == before:
            return [Step(what, Outcome.ALREADY, f"{places.INTERMEDIATE} is trusted ({about}).")]
        self._system.write(places.INTERMEDIATE, self._data)
        self._write_settings(settings)
        return [Step(what, Outcome.DONE, f"{places.INTERMEDIATE} is trusted from now on under that root ({about}).")]

    def _write_settings(self, settings: str) -> None:
        self._system.write(places.SETTINGS, settings.encode())
        self.changed = True


class _NucMap:
    """The clear NUC map, which waits for the agent to seal it."""

    def __init__(self, system: System, answers: Answers, user: User) -> None:
        self._system = system
        self._user = user
        self._from = answers.nuc_map
        self._sealed = system.map_sealed()
        self._there = system.map_there()
        self._data: bytes | None = None
        if answers.nuc_map is not None:
            self._data = read_nuc_map(answers.nuc_map).data
            map_file.decode(self._data)
            if not self._sealed and self._there not in (None, self._data):
                answers.replace(f"Another NUC map waits at {places.NUC_MAP} already. Replace it?")

    @property
    def missing(self) -> bool:
        return not self._sealed and self._data is None and self._there is None

    def apply(self) -> Step:
        if self._sealed:
            text = "It is sealed in this Pi already."
            if self._data is not None:
                text += f" {self._from} was not needed; to give another map: `birthmark-agent reset --forget-nuc-map`."
            return Step("NUC map", Outcome.ALREADY, text)
        self._system.make_state(self._user)
        if self._data is None or self._data == self._there:
            if self._there is None:
                return Step("NUC map", Outcome.MISSING, "It must be captured with this Pi's own sensor.")
            return Step("NUC map", Outcome.ALREADY, f"{places.NUC_MAP} waits for the agent.")
        self._system.write_map(self._data)
        text = f"Installed as {places.NUC_MAP}; it is removed there once sealed. Keep {self._from} in private."
        return Step("NUC map", Outcome.DONE, text)


def _root_set(system: System) -> str:
    """Return the path of the root certificate in the settings; empty if not set."""
    path = setting(_settings(system), ROOT_SETTING)
    return "" if path == str(places.ROOT_CERTIFICATE) and system.read(places.ROOT_CERTIFICATE) is None else path


def _read_trusted(system: System, path: str) -> bytes:
    """The certificate that a setting names; nothing where there is none."""
    return (system.read(PurePosixPath(path)) or b"") if path.startswith("/") else b""


def _read_file(path: Path) -> bytes:
    try:
        return read_bounded(path, _CERTIFICATE_BYTES)
    except OSError as error:
        raise BirthmarkError("file.unreadable", f"{path}: {error.strerror}") from error


def _about(certificate: x509.Certificate) -> str:
    about, until = f"SHA-256 {certificate.fingerprint(hashes.SHA256()).hex()}", certificate.not_valid_after_utc
    return f"{about}; by this Pi's clock it ended on {until:%Y-%m-%d}" if until < utc_now() else about


def _settings(system: System) -> str:
    return (system.read(places.SETTINGS) or b"").decode("utf-8", "surrogateescape")


def _tpm_step(system: System, answers: Answers) -> Step:
    name = answers.tpm or (DEFAULT_TPM if system.has_tpm() else None)
    if name is not None:
        try:
            as_whom = system.as_owner_of_state() if name == SIMULATOR else nullcontext()
            with as_whom, open_tpm(name, system.place(places.STATE)) as source:
                tpm = source.get()
                return Step(
                    "TPM", Outcome.ALREADY, f"{printable(tpm.manufacturer)}, firmware {printable(tpm.firmware)}."
                )
        except BirthmarkError as error:
            return Step("TPM", Outcome.MISSING, f"{error.sentence}. {error.advice} [{error.code}]")
    if answers.tpm_overlay is None:
        return Step("TPM", Outcome.LEFT_OUT, "There is none now, and no overlay for one is wanted.")
    if not system.live:
        return Step("TPM", Outcome.LATER, "It is looked for when this system boots on its Pi.")
    text = "There is none yet. If there is none after the restart: see the hat's seat and `dmesg | grep -i tpm`."
    return Step("TPM", Outcome.LATER, text)


def _next(system: System, nuc_map: _NucMap, *, restart: bool) -> list[str]:
    said = []
    if nuc_map.missing:
        said.append(f"Capture the NUC map, on the Pi: `{CAPTURE}`. Keep a copy of it elsewhere.")
    if restart:
        said.append("Restart, for the boot settings to take effect: `sudo reboot`.")
    if not system.live:
        said.append("Boot the system on its Pi.")
    return [*said, "Plug the Pi into a station. `systemctl status birthmark-agent` says how far it is."]
