"""Measures the time of one unit and of each step: real station and agent processes, swtpm, and a pair of ttys.

Figures are medians of one run on one machine. A TPM chip adds to them: `tests.bench.slow_chip`.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from pathlib import Path
from typing import Final

from virtual.pi import VirtualPi
from virtual.station import VirtualStation

_STEPS: Final = {
    1: "waiting for a greeting",
    2: "identified, and challenged",
    3: "the station believed, the proof made",
    4: "the proof verified, a certificate issued",
    5: "table keys imported, all of it stored",
    6: "the receipt recorded",
}


def measure(units: int) -> dict[str, str]:
    """Provision `units` Pis one after another; each is then plugged in again."""
    first: list[float] = []
    again: list[float] = []
    steps: dict[int, list[float]] = {step: [] for step in _STEPS}
    with tempfile.TemporaryDirectory() as directory:
        home = Path(directory)
        with VirtualStation(home / "station", f"{home}/pi-*/station") as station:
            station.init()
            station.start()
            for number in range(units):
                pi = VirtualPi(home / f"pi-{number}", number)
                pi.nuc_map.write_bytes(number.to_bytes(4, "big") * 1000)
                at = _provision(pi)
                for step in _STEPS:
                    steps[step].append(at[step] - at[step - 1])
                first.append(at[6] - at[1])
                at = _provision(pi)
                again.append(at[6] - at[1])
    return {
        "a new unit, from its first word to provisioned": _milliseconds(first),
        "a known unit, plugged in again": _milliseconds(again),
        **{f"  of a new one: {name}": _milliseconds(steps[step]) for step, name in _STEPS.items()},
    }


def _provision(pi: VirtualPi) -> dict[int, float]:
    """Return the time of each step."""
    at: dict[int, float] = {}
    with pi.cable:
        agent = pi.start("--once", "--wait", "30")
        assert agent.stderr is not None
        for line in agent.stderr:
            if line.startswith("step "):
                at[int(line[5])] = time.monotonic()
        agent.communicate()
    if agent.returncode:
        raise RuntimeError(f"{pi.serial} was not provisioned")
    return at


def _milliseconds(values: list[float]) -> str:
    spread = f"{min(values) * 1000:.0f} to {max(values) * 1000:.0f}"
    return f"{statistics.median(values) * 1000:.0f} ms  ({spread}, n = {len(values)})"
