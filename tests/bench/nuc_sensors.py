"""Measures whether NUC maps tell sensors apart: every map of N simulated sensors against the later frames of all.

`python -m tests.bench.nuc_sensors` prints the figures of docs/nuc-map.md: 200 sensors, some ten minutes on two cores.
"""

from __future__ import annotations

import argparse
from collections import Counter
from concurrent.futures import ProcessPoolExecutor

from device_agent.nuc_map.calibrate import Flats, build, take_darks, take_flats
from device_agent.nuc_map.fit import judge
from device_agent.nuc_map.sensor import FACTORY, LATER, SimulatedSensor

WIDTH, HEIGHT, FRAMES = 192, 144, 32
Row = list[tuple[str, list[float], list[float]]]

_later: list[Flats] = []


def _prepare(sensors: int) -> None:
    """Make the later frames of all sensors, in each worker."""
    _later.extend(take_flats(SimulatedSensor(seed, LATER, WIDTH, HEIGHT), FRAMES) for seed in range(sensors))


def _row(seed: int) -> Row:
    """Compare one map with all sensors: verdict, correlations and agreements of its colours."""
    source = SimulatedSensor(seed, FACTORY, WIDTH, HEIGHT)
    nuc_map = build(take_flats(source, FRAMES), take_darks(source, FRAMES))
    fits = [judge(nuc_map, flats) for flats in _later]
    return [
        (fit.verdict.value, [c.correlation for c in fit.colours], [c.agreement for c in fit.colours]) for fit in fits
    ]


def measure(sensors: int) -> dict[str, object]:
    with ProcessPoolExecutor(2, initializer=_prepare, initargs=(sensors,)) as pool:
        rows = list(pool.map(_row, range(sensors)))
    own = [row[seed] for seed, row in enumerate(rows)]
    foreign = [fit for seed, row in enumerate(rows) for other, fit in enumerate(row) if other != seed]
    own_min, foreign_max = (
        min(value for _, correlations, _ in own for value in correlations),
        max(value for _, correlations, _ in foreign for value in correlations),
    )
    return {
        "sensors": sensors,
        "frames": FRAMES,
        "pixels": f"{WIDTH} x {HEIGHT}",
        "own_correlation_min": round(own_min, 3),
        "foreign_correlation_max": round(foreign_max, 3),
        "margin": round(own_min - foreign_max, 3),
        "own_agreement": [
            round(min(min(agreements) for _, _, agreements in own), 3),
            round(max(max(agreements) for _, _, agreements in own), 3),
        ],
        "foreign_agreement_max": round(max(max(agreements) for _, _, agreements in foreign), 3),
        "own_verdicts": dict(Counter(verdict for verdict, _, _ in own)),
        "foreign_verdicts": dict(Counter(verdict for verdict, _, _ in foreign)),
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sensors", type=int, default=200)
    for name, value in measure(parser.parse_args().sensors).items():
        print(f"{name:26}{value}")
