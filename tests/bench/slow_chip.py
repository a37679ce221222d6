"""Measures a session with a chip as slow as an Infineon SLB 9670, by published times: real programs, swtpm behind.

The step that takes longest is what a time-out would meet first. While a unit makes the EK that the station asks for,
the station repeats its Hello, which has no time-out.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Final

from shared import limits
from tests.harness.chip import NO_TIME, Chip, chip
from tests.harness.chip_times import MAKE_RSA, seconds_of
from tests.harness.vendor_lab import write_roots
from virtual.pi import VirtualPi
from virtual.station import VirtualStation
from virtual.timeouts import WAIT_OPTIONS

_TEMPLATES: Final = {"ECC": "L-2", "RSA": "L-1"}
_UNLUCKY: Final = 10
"""How many times longer than on average a chip may look for its RSA key's primes."""


@dataclass(frozen=True, slots=True)
class _Session:
    """Times in seconds."""

    start: float
    """From the agent's start to its waiting for a station."""
    answer: float
    """To its first word: what the station waits for, and the EK that it asks for."""
    provisioning: float
    """From there to provisioned."""
    longest_step: float
    commands: int


def measure(*, unlucky: bool) -> dict[str, str]:
    """Hold a session with each kind of EK, and with `unlucky` one with a chip that makes an RSA key slowly."""
    figures: dict[str, str] = {}
    for kind, template in _TEMPLATES.items():
        quick, slow = _session(template, NO_TIME), _session(template, seconds_of)
        figures |= {
            f"{kind} EK: the agent's start": _compared(slow.start, quick.start),
            f"{kind} EK: its first word to a station": _compared(slow.answer, quick.answer),
            f"{kind} EK: from there to provisioned": _compared(slow.provisioning, quick.provisioning),
            f"{kind} EK: the longest step of that": _of_the_time_out(slow.longest_step),
            f"{kind} EK: commands to the chip": f"{slow.commands}",
        }
    if unlucky:
        slow = _session(_TEMPLATES["RSA"], _unlucky)
        figures[f"RSA EK made in {_UNLUCKY * MAKE_RSA:.0f} s: the first word, and provisioned"] = (
            f"{slow.answer:.1f} s, {slow.provisioning:.1f} s"
        )
    return figures


def _unlucky(command: bytes) -> float:
    seconds = seconds_of(command)
    return _UNLUCKY * seconds if seconds == MAKE_RSA else seconds


def _session(template: str, seconds: Callable[[bytes], float]) -> _Session:
    """Provision a new unit with a new chip."""
    with tempfile.TemporaryDirectory() as directory:
        home = Path(directory)
        (home / "chip").mkdir(mode=0o700)
        with (
            chip(home / "chip") as made,
            VirtualStation(home / "station", f"{home}/pi/station") as station,
        ):
            station.init("--ek-template", template)
            write_roots(station.data_dir / "ek-roots", made.vendor)
            station.start()
            made.time = seconds
            made.on()
            pi = VirtualPi(home / "pi", 1)
            pi.nuc_map.write_bytes(b"a sensor's map" * 64)
            with pi.cable:
                return _provision(pi, made)


def _provision(pi: VirtualPi, made: Chip) -> _Session:
    begun = time.monotonic()
    agent = pi.start("--once", "--tpm", made.tcti, "--allow-volatile", *WAIT_OPTIONS)
    assert agent.stderr is not None
    at = [time.monotonic() for line in agent.stderr if line.startswith("step ")]
    agent.communicate()
    if agent.returncode:
        raise RuntimeError(f"{pi.serial} was not provisioned")
    waiting, first_word, *_, provisioned = at
    return _Session(
        waiting - begun,
        first_word - waiting,
        provisioned - first_word,
        max(after - before for before, after in pairwise(at[1:])),
        len(made.commands),
    )


def _compared(slow: float, quick: float) -> str:
    return f"{slow:.1f} s, {slow / quick:.1f} times swtpm's {quick:.2f}"


def _of_the_time_out(seconds: float) -> str:
    return f"{seconds:.1f} s, {limits.STEP_SECONDS / seconds:.1f} times in a step's {limits.STEP_SECONDS:g}"
