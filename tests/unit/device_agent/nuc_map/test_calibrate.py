"""A calibration measures the sensor, and not the light, the lens, the noise or what its model has in common."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from device_agent.nuc_map import calibrate
from device_agent.nuc_map.calibrate import Darks, Flats, build, take_darks, take_flats
from device_agent.nuc_map.format import DEFECTIVE, FULL_SCALE, GAIN_ONE, Buffer, MapFile, decode, encode
from device_agent.nuc_map.frames import Frame, FrameFormat, Light, Pixels, colour_planes, frame_format
from device_agent.nuc_map.pattern import correlation, local_mean
from device_agent.nuc_map.sensor import FACTORY, LATER, Occasion, SimulatedSensor
from tests.harness import plain_calibration

WIDTH, HEIGHT = 256, 192


def sensor(
    seed: int,
    occasion: Occasion = FACTORY,
    *,
    width: int = WIDTH,
    height: int = HEIGHT,
    pattern: str = "BGGR",
    bits: int = 12,
) -> SimulatedSensor:
    return SimulatedSensor(seed, occasion, width, height, pattern, bits)


def captured(source: SimulatedSensor, frames: int = 16) -> MapFile:
    return build(take_flats(source, frames), take_darks(source, frames))


def plane(data: Buffer, width: int = WIDTH, height: int = HEIGHT) -> Pixels:
    return np.frombuffer(data, np.dtype(np.uint16).newbyteorder("<")).reshape(height, width)


def test_a_map_corrects_the_sensors_own_later_frames() -> None:
    width, height = 1024, 768  # the larger the sensor, the smoother the shading
    nuc_map = captured(sensor(1, width=width, height=height), 64)
    later = take_flats(sensor(1, LATER, width=width, height=height), 64)
    offset, gain = (plane(data, width, height) for data in (nuc_map.offset, nuc_map.gain))
    answer = ((later.first.astype(np.float32) + later.second) / 2 - offset).astype(np.float32)
    for colour in colour_planes("BGGR"):
        raw = colour.of(answer)
        factor = (colour.of(gain) / np.float32(GAIN_ONE)).astype(np.float32)
        good = colour.of(gain) != DEFECTIVE
        # The middle 68 of 100, because a map cannot correct pixels that have become hot since.
        before, after = (
            np.percentile(np.abs(field / local_mean(field) - 1)[good], 68) for field in [raw, raw * factor]
        )
        assert after < 0.6 * before


def test_the_offset_is_a_pixels_value_in_the_dark() -> None:
    source = sensor(2)
    offset = plane(captured(source, 32).offset) / FULL_SCALE * 4096
    said = np.mean([frame.pixels for frame in source.frames(Light.DARK, 32)], axis=0)
    assert np.abs(offset - said).max() < 1 / 16


def test_the_same_sensor_gives_the_same_pattern_at_every_depth_of_bits() -> None:
    twelve, sixteen, ten = (captured(sensor(3, bits=bits)) for bits in (12, 16, 10))
    assert bytes(twelve.offset) == bytes(sixteen.offset)
    assert bytes(twelve.gain) == bytes(sixteen.gain)
    assert correlation(plane(twelve.gain), plane(ten.gain)) > 0.9


def test_the_simulators_dead_pixels_are_found() -> None:
    nuc_map = captured(sensor(4))
    assert 1 <= calibrate.defective_pixels(nuc_map) < 0.001 * WIDTH * HEIGHT


def test_reliability_foretells_how_alike_two_captures_are() -> None:
    # At one temperature and light, on two occasions with different noise.
    for frames in (8, 32):
        one, two = (captured(sensor(5, Occasion(number=number)), frames) for number in (0, 1))
        for place, colour in enumerate(colour_planes("BGGR")):
            expected = (one.header.reliability[place] * two.header.reliability[place]) ** 0.5
            found = correlation(colour.of(plane(one.gain)), colour.of(plane(two.gain)))
            assert found == pytest.approx(expected, abs=0.04)


def test_a_common_pattern_of_a_model_does_not_make_sensors_alike() -> None:
    one, two = (plane(captured(sensor(seed), 64).gain) for seed in (6, 7))
    for colour in colour_planes("BGGR"):
        a, b = colour.of(one).astype(float), colour.of(two).astype(float)
        columns = np.corrcoef(np.median(a, axis=0), np.median(b, axis=0))[0, 1]
        assert columns > 0.5, "the simulator's columns are alike"
        assert abs(correlation(colour.of(one), colour.of(two))) < 0.05


@pytest.mark.parametrize("pattern", ["MONO", "RGGB", "GRBG", "GBRG"])
def test_every_colour_pattern_makes_a_map_that_reads(pattern: str) -> None:
    nuc_map = captured(sensor(8, pattern=pattern))
    read = decode(encode(nuc_map))
    assert read.header == nuc_map.header
    assert read.header.pattern == pattern
    assert read.header.sensor == "simulated"


def test_the_same_seed_is_the_same_sensor_and_another_occasion_is_other_noise() -> None:
    assert encode(captured(sensor(9))) == encode(captured(sensor(9)))
    assert encode(captured(sensor(9))) != encode(captured(sensor(9, Occasion(number=1))))
    assert encode(captured(sensor(9))) != encode(captured(sensor(10)))


@pytest.mark.parametrize(
    ("seed", "width", "height", "pattern", "bits", "frames"),
    [
        (20, 256, 192, "BGGR", 12, 16),
        (21, 350, 212, "GRBG", 10, 9),
        (22, 301, 233, "MONO", 16, 12),
        (23, 640, 480, "RGGB", 12, 70),
    ],
)
def test_working_in_bands_and_in_place_changes_no_bit_of_the_map(
    seed: int, width: int, height: int, pattern: str, bits: int, frames: int
) -> None:
    source = sensor(seed, width=width, height=height, pattern=pattern, bits=bits)
    assert encode(captured(source, frames)) == encode(plain_calibration.captured(source, frames))


def test_sums_do_not_overflow_at_the_largest_count_and_the_widest_pixel() -> None:
    total = calibrate._Sum()
    white = Frame(frame_format(96, 96, "MONO", 16, ""), np.full((96, 96), 65535, np.uint16))
    for _ in range(4096):
        total.add(white)
    assert (total.average(16) == 65535).all()


def test_sums_are_exact_whatever_the_frames_are() -> None:
    rng = np.random.default_rng(3)
    frames = rng.integers(0, 65536, (300, 97, 98), np.uint16)
    frames[:, 0, 0] = 65535
    total = calibrate._Sum()
    for pixels in frames:
        total.add(Frame(frame_format(98, 97, "MONO", 16, ""), pixels))
    assert (total.average(16) == (frames.sum(axis=0, dtype=np.uint64) + 150) // 300).all()


def test_frames_are_not_kept() -> None:
    """A source that reuses one array for all frames is averaged correctly."""
    made = frame_format(96, 96, "MONO", 12, "")

    class Reusing:
        def frames(self, light: Light, count: int) -> Iterator[Frame]:
            pixels = np.empty((96, 96), np.uint16)
            for number in range(count):
                pixels[:] = (100 if light is Light.DARK else 2000) + number % 4
                pixels[0, 0] += number  # no two alike
                yield Frame(made, pixels)

    flats, darks = take_flats(Reusing(), 8), take_darks(Reusing(), 8)
    assert isinstance(flats, Flats)
    assert isinstance(darks, Darks)
    assert (flats.first[1, 1], flats.second[1, 1], darks.offset[1, 1]) == (2001 * 16, 2002 * 16, 1624)


def test_darks_of_another_format_do_not_go_with_the_flats() -> None:
    from shared.errors import BirthmarkError

    flats = take_flats(sensor(11), 8)
    darks = take_darks(sensor(11, bits=10), 8)
    assert isinstance(flats.format, FrameFormat)
    with pytest.raises(BirthmarkError) as caught:
        build(flats, darks)
    assert caught.value.code == "nuc.frames-wrong-shape"
