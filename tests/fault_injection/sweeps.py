"""All sweeps, in the order of the table; tries one batch of one of them in its own process."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from tests.fault_injection import (
    cable,
    clocks,
    full_station,
    issuer_faults,
    processes,
    station_faults,
    storing,
    tpm_faults,
)
from tests.fault_injection.sweep import Point, Sweep, Verdict

SWEEPS: tuple[Sweep, ...] = (
    *cable.SWEEPS,
    *storing.SWEEPS,
    *station_faults.SWEEPS,
    *issuer_faults.SWEEPS,
    *full_station.SWEEPS,
    *tpm_faults.SWEEPS,
    *clocks.SWEEPS,
    *processes.SWEEPS,
)


def quiet() -> None:
    """Silence the logs: errors are expected here, and the verdicts report them."""
    logging.disable(logging.CRITICAL)


def attempt(fault: str, points: Sequence[Point]) -> list[Verdict]:
    (sweep,) = [sweep for sweep in SWEEPS if sweep.fault == fault]
    return list(sweep.attempt(points))
