"""All sweeps, in the order of the table, and how one batch of one of them is tried in a process of its own."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from tests.fault_injection import cable, clocks, full_station, processes, station_faults, storing, tpm_faults
from tests.fault_injection.sweep import Point, Sweep, Verdict

SWEEPS: tuple[Sweep, ...] = (
    *cable.SWEEPS,
    *storing.SWEEPS,
    *station_faults.SWEEPS,
    *full_station.SWEEPS,
    *tpm_faults.SWEEPS,
    *clocks.SWEEPS,
    *processes.SWEEPS,
)


def quiet() -> None:
    """What goes wrong is the point here, and the verdicts tell it."""
    logging.disable(logging.CRITICAL)


def attempt(fault: str, points: Sequence[Point]) -> list[Verdict]:
    (sweep,) = [sweep for sweep in SWEEPS if sweep.fault == fault]
    return list(sweep.attempt(points))
