"""The memory of `birthmark-agent nuc capture`: what 12 megapixels take follows from two smaller sensors."""

from __future__ import annotations

from tests.bench.nuc_memory import GOAL_MIB, HEIGHT, WIDTH, measure

_MIB = 2**20
FRAMES = 18  # nine of 12 bits in each half; the sum of the dark ones needs a seventeenth bit


def test_a_capture_at_12_megapixels_stays_under_its_goal() -> None:
    sizes = ((96, 96), (2028, 1520))
    small, large = (measure(*size, FRAMES)["capture"].peak_mib for size in sizes)
    more = sizes[1][0] * sizes[1][1] - sizes[0][0] * sizes[0][1]
    bytes_a_pixel = (large - small) * _MIB / more
    assert bytes_a_pixel < 9, "it keeps more than offset, both halves of the flats and a quarter in floats"
    assert small + bytes_a_pixel * WIDTH * HEIGHT / _MIB < GOAL_MIB
