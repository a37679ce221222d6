"""A map fits its own sensor's later frames and no other's. `python -m tests.bench.nuc_sensors` does it with 200."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from device_agent.nuc_map.calibrate import Flats, build, take_darks, take_flats
from device_agent.nuc_map.fit import ColourFit, Fit, Verdict, judge
from device_agent.nuc_map.format import MapFile
from device_agent.nuc_map.sensor import FACTORY, LATER, Occasion, SimulatedSensor
from shared.errors import BirthmarkError

WIDTH, HEIGHT, FRAMES, SENSORS = 192, 144, 16, 12


def flats(seed: int, occasion: Occasion = LATER, frames: int = FRAMES) -> Flats:
    return take_flats(SimulatedSensor(seed, occasion, WIDTH, HEIGHT), frames)


def captured(seed: int) -> MapFile:
    source = SimulatedSensor(seed, FACTORY, WIDTH, HEIGHT)
    return build(take_flats(source, FRAMES), take_darks(source, FRAMES))


def test_each_of_twelve_maps_fits_its_own_sensor_and_no_other() -> None:
    maps = [captured(seed) for seed in range(SENSORS)]
    later = [flats(seed) for seed in range(SENSORS)]
    verdicts = [[judge(one, other).verdict for other in later] for one in maps]
    assert verdicts == [
        [Verdict.FITS if one == other else Verdict.ANOTHER for other in range(SENSORS)] for one in range(SENSORS)
    ]


@pytest.mark.parametrize(
    "occasion",
    [
        replace(LATER, temperature=65.0, number=2),
        replace(LATER, temperature=0.0, number=3),
        replace(LATER, level=0.8, shading=0.1, number=4),
        replace(LATER, shading=0.6, slant=0.3, number=5),
    ],
    ids=["hot", "cold", "bright", "a wide lens"],
)
def test_a_map_fits_on_every_occasion(occasion: Occasion) -> None:
    assert judge(captured(1), flats(1, occasion)).verdict is Verdict.FITS
    assert judge(captured(1), flats(2, occasion)).verdict is Verdict.ANOTHER


def test_one_half_of_another_sensor_is_not_taken_for_the_whole() -> None:
    own, other = flats(1), flats(2)
    left = np.arange(WIDTH) < WIDTH * 0.6
    mixed = replace(own, first=np.where(left, own.first, other.first), second=np.where(left, own.second, other.second))
    agreements = [colour.agreement for colour in judge(captured(1), mixed).colours]
    assert all(0.4 < agreement < 0.75 for agreement in agreements)


def test_frames_of_another_size_cannot_be_this_maps() -> None:
    source = SimulatedSensor(1, LATER, WIDTH, HEIGHT + 2)
    with pytest.raises(BirthmarkError) as caught:
        judge(captured(1), take_flats(source, FRAMES))
    assert caught.value.code == "nuc.frames-wrong-shape"


def test_too_much_noise_has_its_own_error() -> None:
    with pytest.raises(BirthmarkError) as caught:
        judge(captured(1), flats(1, replace(LATER, level=0.2), 8))
    assert caught.value.code == "nuc.frames-noisy"


@pytest.mark.parametrize(
    ("correlations", "verdict"),
    [
        ((0.8, 0.8, 0.8, 0.8), Verdict.FITS),
        ((0.4, 0.8, 0.8, 0.8), Verdict.FITS),
        ((0.39, 0.8, 0.8, 0.8), Verdict.UNCLEAR),
        ((0.0, 0.0, 0.0, 0.17), Verdict.UNCLEAR),
        ((0.0, 0.0, 0.0, 0.15), Verdict.ANOTHER),
        ((-0.8, -0.8, -0.8, -0.8), Verdict.ANOTHER),
    ],
)
def test_the_verdict_needs_all_colours(correlations: tuple[float, ...], verdict: Verdict) -> None:
    assert Fit(tuple(ColourFit("B", value, 0.8) for value in correlations)).verdict is verdict
