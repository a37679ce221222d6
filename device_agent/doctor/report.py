"""Writes the form for the hardware checklist, filled in with what the machine says of itself, but no serial number."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from typing import Final

from device_agent.doctor.checklist import TRIALS
from device_agent.doctor.checks import Finding
from device_agent.doctor.machine import Machine
from device_agent.tpm.source import open_tpm
from runtime.clock import iso_time
from shared.errors import BirthmarkError
from shared.text import printable


@dataclass(frozen=True, slots=True)
class TpmTimes:
    """The TPM's name, and what it takes for a session's commands."""

    manufacturer: str
    firmware: str
    rows: tuple[tuple[str, float], ...]
    """What was done, and its seconds."""


def measure(machine: Machine) -> TpmTimes:
    """Measure the commands of a session on the TPM. Raises `tpm.*`."""
    rows: list[tuple[str, float]] = []

    def timed(what: str, begun: float) -> float:
        now = time.monotonic()
        rows.append((what, now - begun))
        return now

    now = time.monotonic()
    with open_tpm(machine.tpm, machine.state_dir) as source:
        tpm = source.get()
        now = timed("open it", now)
        tpm.public_areas()
        now = timed("make endorsement, attestation, storage and device key", now)
        tpm.certify_device_key(os.urandom(32))
        now = timed("certify the device key", now)
        blob = tpm.seal(os.urandom(32))
        now = timed("seal 32 bytes", now)
        tpm.unseal(blob)
        timed("unseal them", now)
        return TpmTimes(printable(tpm.manufacturer, 64), printable(tpm.firmware, 64), tuple(rows))


def write(machine: Machine, findings: tuple[Finding, ...], times: TpmTimes | BirthmarkError) -> str:
    return "\n".join(_lines(machine, findings, times)) + "\n"


def _lines(machine: Machine, findings: tuple[Finding, ...], times: TpmTimes | BirthmarkError) -> Iterator[str]:
    yield from ("# Birthmark hardware report", "", "Filled in by `birthmark-agent doctor --report`.", "")
    yield from _table(("what", "value"), _facts(machine, times))
    yield from ("", "## What doctor found", "")
    rows = [
        (one.what, one.outcome.value, f"{one.text} {f'`{one.code}`' if one.code else ''}".strip()) for one in findings
    ]
    yield from _table(("what", "result", "in words"), rows)
    yield from ("", "## To try by hand", "", _HOW, "")
    trials = [(str(one.number), one.boards, one.do, one.see, "☐", "") for one in TRIALS]
    yield from _table(("", "board", "do", "should be seen", "so", "otherwise, what was seen"), trials)


_HOW: Final = (
    "Tick what was as it should be, and write what was otherwise. Fill in the hat, the power supply, and whether the "
    "cable runs through a hub: ________"
)


def _facts(machine: Machine, times: TpmTimes | BirthmarkError) -> list[tuple[str, str]]:
    release = dict(line.partition("=")[::2] for line in machine.text("etc/os-release").splitlines())
    status = machine.gadget.status()
    memory, free = machine.memory_bytes, machine.free_bytes
    facts = [
        ("board", machine.model or "unknown"),
        ("system", release.get("PRETTY_NAME", "unknown").strip('"')),
        ("kernel", " ".join(machine.text("proc/version").split()[:3])),
        ("agent", version("birthmark-provisioning")),
        ("time", iso_time(machine.clock())),
        ("USB controller", f"{', '.join(status.controllers) or 'none'}; host: {status.host or 'unknown'}"),
        ("memory free", f"{memory >> 20} MiB" if memory is not None else "unknown"),
        ("disk free", f"{free >> 20} MiB" if free is not None else "unknown"),
    ]
    if isinstance(times, BirthmarkError):
        return [*facts, ("TPM", str(times))]
    facts.append(("TPM", f"{times.manufacturer}, firmware {times.firmware}"))
    return [*facts, *((f"TPM: {what}", f"{seconds:.3f} s") for what, seconds in times.rows)]


def _table(head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> Iterator[str]:
    yield f"| {' | '.join(head)} |"
    yield "|---" * len(head) + "|"
    for row in rows:
        yield f"| {' | '.join(printable(cell, 400).replace('|', '/') for cell in row)} |"
