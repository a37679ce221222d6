"""The checks of `birthmark-agent doctor`. Each looks at one thing and returns one finding; none changes anything."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from enum import StrEnum
from typing import Final

import msgspec

from device_agent.build_date import BUILD_DATE
from device_agent.doctor.machine import Machine
from device_agent.setup.config_txt import USB_DEVICE, with_overlays
from device_agent.setup.system import CONFIG_TXT
from device_agent.storage.lasting import Keeper
from runtime.clock import iso_time
from shared import limits
from shared.errors import BirthmarkError, ErrorCode
from shared.errors.findings import FINDINGS

_MIB: Final = 1024 * 1024
_IDENTITY_BYTES: Final = 4 * _MIB
"""An identity without its NUC map is some 10 KiB; two lie on the disk while one replaces the other."""
_SESSION_BYTES: Final = 48 * _MIB
"""A whole session takes 41 MiB at its peak; sealing a NUC map takes two copies of it more."""
_CLOCK_SECONDS: Final = 30 * 365 * 86400
_OTHER_GADGETS: Final = (
    "g_acm_ms",
    "g_cdc",
    "g_ether",
    "g_mass_storage",
    "g_midi",
    "g_multi",
    "g_serial",
    "g_webcam",
    "g_zero",
)
"""The kernel's modules that make a gadget without configfs."""


class Outcome(StrEnum):
    FINE = "fine"
    NOTE = "note"
    """Worth knowing; provisioning does not fail by it."""
    PROBLEM = "problem"
    UNKNOWN = "not looked at"


class Finding(msgspec.Struct, frozen=True):
    """The result of one check."""

    what: str
    outcome: Outcome
    text: str
    code: str = ""
    advice: str = ""


def examine(machine: Machine) -> tuple[Finding, ...]:
    return tuple(_examined(what, check, machine) for what, check in CHECKS)


def codes(findings: tuple[Finding, ...]) -> tuple[str, ...]:
    """Return the codes that the station is told, in the order of `FINDINGS`."""
    found = {finding.code for finding in findings}
    return tuple(code for code in FINDINGS if code in found)


def _examined(what: str, check: Callable[[str, Machine], Finding], machine: Machine) -> Finding:
    try:
        return check(what, machine)
    except OSError as error:
        return Finding(what, Outcome.UNKNOWN, f"It cannot be looked at: {error.strerror}.")


def _found(what: str, code: ErrorCode, detail: str = "", outcome: Outcome = Outcome.PROBLEM) -> Finding:
    error = BirthmarkError(code, detail)
    return Finding(what, outcome, f"{error.sentence[:1].upper()}{error.sentence[1:]}.", code, error.advice)


def _fine(what: str, text: str) -> Finding:
    return Finding(what, Outcome.FINE, text)


def _boot_settings(what: str, machine: Machine) -> Finding:
    path = next((path for path in CONFIG_TXT if machine.there(str(path.relative_to("/")))), None)
    if path is None:
        if machine.is_pi:
            return _found(what, "setup.config-missing", " or ".join(map(str, CONFIG_TXT)))
        return Finding(what, Outcome.UNKNOWN, "This is no Raspberry Pi with a config.txt.")
    edit = with_overlays(machine.bytes(str(path.relative_to("/"))), (USB_DEVICE,))
    undone = f"; also there: {', '.join(edit.outdone)}" if edit.outdone else ""
    if edit.changed:
        lacks = [f"{path} has not {line}" for line in edit.added] + [f"{path} has {line}" for line in edit.disabled]
        return _found(what, "board.device-mode-off", ", ".join(lacks) + undone)
    return _fine(what, f"{path} makes the USB port a device's{undone}.")


def _controller(what: str, machine: Machine) -> Finding:
    controllers = machine.gadget.status().controllers
    if controllers:
        return _fine(what, f"{controllers[0]} is there.")
    if machine.is_pi:
        return _found(what, "gadget.no-controller", machine.model)
    return Finding(what, Outcome.UNKNOWN, "There is none, and this is no Raspberry Pi.")


def _other_gadget(what: str, machine: Machine) -> Finding:
    other = machine.gadget.other_user()
    modules = [name for name in _OTHER_GADGETS if machine.there(f"sys/module/{name}")]
    if not other and modules:
        other = f"module {modules[0]}"
    if not other and machine.there("etc/modules-load.d/usb-gadget.conf"):
        other = "rpi-usb-gadget, from the next restart on (`sudo rpi-usb-gadget off`)"
    if not other:
        return _fine(what, "No other gadget uses the port.")
    if machine.provisioned:
        return _fine(what, f"The port is used by: {other}.")
    return _found(what, "gadget.controller-busy", f"by {other}")


def _port(what: str, machine: Machine) -> Finding:
    status = machine.gadget.status()
    if machine.provisioned:
        return _fine(what, "This Pi is provisioned: no station needs its port.")
    if status.bound_to and not status.quiet:
        return _fine(what, f"{status.tty} is up on {status.bound_to}; host: {status.host or 'unknown'}.")
    if not status.controllers:
        return Finding(what, Outcome.UNKNOWN, "It needs a controller first.")
    return _found(what, "gadget.down")


def _getty(what: str, machine: Machine) -> Finding:
    by = ""
    if "console=ttyGS" in machine.text("proc/cmdline"):
        by = "cmdline.txt has console=ttyGS…"
    for folder in ("etc/systemd/system", "sys/fs/cgroup/system.slice", "run/systemd/generator"):
        by = by or next(iter(machine.names(folder, "*/*getty@ttyGS*.service")), "")
    return _found(what, "gadget.getty", by) if by else _fine(what, "No login prompt is on the agent's port.")


def _tpm(what: str, machine: Machine) -> Finding:
    kind, _, node = machine.tpm.partition(":")
    if kind != "device" or not node:  # without a node the library chooses one
        return Finding(what, Outcome.UNKNOWN, "The TPM in use is not a device of this kernel.")
    path = machine.root / node.lstrip("/")
    if not path.exists():
        return _found(what, "tpm.no-device", node)
    # Root may open everything; the agent opens it by its group.
    open_to_group = stat.S_IMODE(path.stat().st_mode) & 0o060 == 0o060
    if not os.access(path, os.R_OK | os.W_OK, effective_ids=True) or (os.geteuid() == 0 and not open_to_group):
        return _found(what, "tpm.permission", node)
    return _fine(what, f"{node} is there, and the agent may use it.")


def _clock(what: str, machine: Machine) -> Finding:
    now, built = machine.clock(), BUILD_DATE.timestamp()
    if not built <= now <= built + _CLOCK_SECONDS:
        told = iso_time(now) if 0 <= now < 1 << 37 else "a time that cannot be told"
        return _found(what, "board.clock-wrong", f"it shows {told}", Outcome.NOTE)
    return _fine(what, f"It shows {iso_time(now)}.")


def _nuc_map(what: str, machine: Machine) -> Finding:
    return _fine(what, "It is here.") if machine.has_map else _found(what, "nuc.map-missing", str(machine.nuc_map))


def _storage(what: str, machine: Machine) -> Finding:
    storage = machine.storage
    match storage.by if storage else None:
        case Keeper.MEMORY if storage:
            where = f"{machine.state_dir} is on {storage.kind} at {storage.point}"
            outcome = Outcome.NOTE if machine.may_lose_identity else Outcome.PROBLEM
            return _found(what, "identity.volatile", where, outcome)
        case Keeper.SLOT:
            return _found(what, "identity.one-slot", str(machine.state_dir))
        case Keeper.DISK if storage:
            return _fine(what, f"{machine.state_dir} is on {storage.kind} at {storage.point}.")
        case _:
            return Finding(what, Outcome.UNKNOWN, "The kernel does not say where it is.")


def _space(what: str, machine: Machine) -> Finding:
    free = machine.free_bytes
    if free is None:
        return Finding(what, Outcome.UNKNOWN, "The disk does not say how much is free.")
    need = _IDENTITY_BYTES
    if not machine.provisioned:
        # The clear map and its sealed copy are both there for a moment.
        need += 2 * limits.NUC_MAP_BYTES if machine.map_bytes is None else min(machine.map_bytes, limits.NUC_MAP_BYTES)
    told = f"{free // _MIB} MiB are free, {need // _MIB} are needed"
    return _found(what, "disk.nearly-full", told) if free < need else _fine(what, f"{told}.")


def _memory(what: str, machine: Machine) -> Finding:
    free = machine.memory_bytes
    if free is None:
        return Finding(what, Outcome.UNKNOWN, "The kernel does not say how much is free.")
    need = _SESSION_BYTES + (0 if machine.provisioned else 2 * min(machine.map_bytes or 0, limits.NUC_MAP_BYTES))
    told = f"{free // _MIB} MiB are free, {need // _MIB} are needed"
    return _found(what, "board.memory-low", told, Outcome.NOTE) if free < need else _fine(what, f"{told}.")


def _power(what: str, machine: Machine) -> Finding:
    sensors = [
        name for name in machine.names("sys/class/hwmon") if machine.text(f"sys/class/hwmon/{name}/name") == "rpi_volt"
    ]
    if not sensors:
        return Finding(what, Outcome.UNKNOWN, "This kernel does not tell the supply voltage.")
    if machine.text(f"sys/class/hwmon/{sensors[0]}/in0_lcrit_alarm").strip() == "1":
        return _found(what, "board.undervoltage", outcome=Outcome.NOTE)
    return _fine(what, "The supply voltage is high enough.")


CHECKS: Final[tuple[tuple[str, Callable[[str, Machine], Finding]], ...]] = (
    ("Boot settings", _boot_settings),
    ("USB controller", _controller),
    ("Other gadget", _other_gadget),
    ("USB port", _port),
    ("Login prompt", _getty),
    ("TPM", _tpm),
    ("Clock", _clock),
    ("NUC map", _nuc_map),
    ("Identity's place", _storage),
    ("Free space", _space),
    ("Memory", _memory),
    ("Power", _power),
)
