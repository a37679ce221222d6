"""The simulated sensor: its seed determines the pattern, the occasion the noise, and its frames are like a camera's."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from device_agent.nuc_map.frames import Light, colour_planes
from device_agent.nuc_map.sensor import FACTORY, LATER, Occasion, SimulatedSensor

Stack = np.ndarray[tuple[int, ...], np.dtype[np.float64]]


def taken(seed: int, light: Light, occasion: Occasion = FACTORY, count: int = 2, bits: int = 12) -> Stack:
    source = SimulatedSensor(seed, occasion, 128, 96, bits=bits)
    return np.stack([frame.pixels for frame in source.frames(light, count)]).astype(np.float64)


@pytest.mark.parametrize("light", list(Light))
def test_a_seed_and_an_occasion_are_the_same_frames_each_time(light: Light) -> None:
    frames = taken(1, light)
    assert np.array_equal(frames, taken(1, light))
    assert not np.array_equal(frames[0], frames[1])
    for other in (taken(2, light), taken(1, light, replace(FACTORY, number=1))):
        assert not np.array_equal(frames, other)


def test_two_occasions_share_the_sensor_and_no_noise() -> None:
    one, other, stranger = (
        taken(seed, Light.DARK, replace(FACTORY, number=number), 64).mean(axis=0)
        for seed, number in ((1, 0), (1, 1), (2, 0))
    )
    assert np.corrcoef(one.ravel(), other.ravel())[0, 1] > 0.9
    assert abs(np.corrcoef(one.ravel(), stranger.ravel())[0, 1]) < 0.1
    noise = [taken(1, Light.DARK, replace(FACTORY, number=number), 1)[0] for number in (0, 1)]
    assert abs(np.corrcoef((noise[0] - one).ravel(), (noise[1] - other).ravel())[0, 1]) < 0.1


def test_frames_have_the_format_that_was_asked_for() -> None:
    source = SimulatedSensor(1, width=128, height=96, pattern="RGGB", bits=10)
    (frame,) = source.frames(Light.FLAT, 1)
    assert (frame.format.width, frame.format.height, frame.format.pattern, frame.format.bits) == (128, 96, "RGGB", 10)
    assert frame.pixels.shape == (96, 128)
    assert frame.pixels.dtype == np.uint16
    assert frame.pixels.max() < 1 << 10


def test_the_converter_has_twelve_bits_for_every_output() -> None:
    twelve = taken(1, Light.FLAT)
    assert np.array_equal(taken(1, Light.FLAT, bits=16), twelve * 16)
    assert np.array_equal(taken(1, Light.FLAT, bits=10), twelve // 4)


def test_light_falls_off_to_the_corners_and_differs_by_colour() -> None:
    light = taken(1, Light.FLAT, count=8).mean(axis=0) - taken(1, Light.DARK, count=8).mean(axis=0)
    planes = {plane.name[0]: plane.of(light.astype(np.float32)) for plane in colour_planes("BGGR")}
    assert planes["G"].mean() > planes["B"].mean() > planes["R"].mean()
    green = planes["G"]
    assert green[20:28, 28:36].mean() > green[:8, :8].mean() * 1.1
    assert green[20:28, 28:36].mean() / 4095 == pytest.approx(FACTORY.level, rel=0.1)


def test_it_gets_warmer_as_the_occasion_says() -> None:
    cold, warm = (taken(1, Light.DARK, replace(FACTORY, temperature=degrees), 32).mean() for degrees in (25.0, 46.0))
    assert warm - cold == pytest.approx(0.1 * (2**3 - 1), rel=0.5)
    assert LATER.temperature > FACTORY.temperature
