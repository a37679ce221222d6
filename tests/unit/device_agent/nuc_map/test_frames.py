"""A camera's bytes become pixels as the kernel's documentation of each format says."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from device_agent.nuc_map.frames import RawFormat, colour_planes, frame_format, raw_format, unpacked
from shared.errors import BirthmarkError


def bytes_of(*values: int) -> np.ndarray:
    return np.array([values], np.uint8)


def test_ten_bits_packed_have_the_first_pixels_low_bits_lowest() -> None:
    # V4L2_PIX_FMT_SBGGR10P: the fifth byte is G03low(7-6) B02low(5-4) G01low(3-2) B00low(1-0).
    row = bytes_of(0x00, 0x40, 0x80, 0xFF, 0b00_11_10_01)
    assert unpacked(row, raw_format("SBGGR10_CSI2P"), 4).tolist() == [[0b01, 0x102, 0x203, 0x3FC]]


def test_twelve_bits_packed_have_the_first_pixels_low_bits_lowest() -> None:
    # V4L2_PIX_FMT_SBGGR12P: the third byte is G01low(7-4) B00low(3-0).
    assert unpacked(bytes_of(0xAB, 0x12, 0x3C), raw_format("SBGGR12_CSI2P"), 2).tolist() == [[0xABC, 0x123]]


def test_unpacked_words_are_little_endian_and_padding_is_left_out() -> None:
    assert unpacked(bytes_of(0x34, 0x02, 0xFF, 0x03, 9, 9), raw_format("SRGGB10"), 2).tolist() == [[0x234, 0x3FF]]
    assert unpacked(bytes_of(7, 200, 9), raw_format("R8"), 2).tolist() == [[7, 200]]


@given(st.sampled_from([(10, 4), (12, 2)]), st.integers(1, 5), st.integers(0, 7), st.data())
def test_packing_loses_nothing(kind: tuple[int, int], groups: int, padding: int, data: st.DataObject) -> None:
    bits, group = kind
    width = groups * group
    values = data.draw(st.lists(st.integers(0, (1 << bits) - 1), min_size=width, max_size=width))
    packed: list[int] = []
    for start in range(0, width, group):
        pixels = values[start : start + group]
        packed += [pixel >> (bits - 8) for pixel in pixels]
        packed.append(sum((pixel & ((1 << (bits - 8)) - 1)) << (n * (bits - 8)) for n, pixel in enumerate(pixels)))
    row = bytes_of(*packed, *[255] * padding)
    assert unpacked(row, RawFormat("BGGR", bits, True), width).tolist() == [values]


@pytest.mark.parametrize("width", [4, 5])
def test_rows_that_are_too_short_or_of_half_a_group_are_refused(width: int) -> None:
    with pytest.raises(BirthmarkError) as caught:
        unpacked(bytes_of(1, 2, 3, 4), raw_format("SBGGR10_CSI2P"), width)
    assert caught.value.code == "nuc.frames-unreadable"


@pytest.mark.parametrize("name", ["BGGR_PISP_COMP1", "SBGGR14_CSI2P", "XBGR8888", "SBGGR9", "", "SBGGR12\n"])
def test_a_format_that_cannot_be_unpacked_without_loss_is_refused(name: str) -> None:
    with pytest.raises(BirthmarkError) as caught:
        raw_format(name)
    assert caught.value.code == "nuc.camera-format"


def test_colours_are_named_by_their_place() -> None:
    cell = np.array([[10, 20], [30, 40]], np.uint16)
    cells = np.tile(cell, (3, 5))
    found = {plane.name: set(plane.of(cells).ravel().tolist()) for plane in colour_planes("BGGR")}
    assert found == {"B": {10}, "Gb": {20}, "Gr": {30}, "R": {40}}
    assert [plane.name for plane in colour_planes("GRBG")] == ["Gr", "R", "B", "Gb"]
    assert colour_planes("MONO")[0].of(cells).shape == cells.shape


@pytest.mark.parametrize(
    ("width", "height", "pattern", "bits"),
    [
        (94, 96, "BGGR", 12),
        (96, 16386, "MONO", 12),
        (97, 96, "BGGR", 12),
        (96, 96, "RGBW", 12),
        (96, 96, "BGGR", 7),
        (96, 96, "BGGR", 17),
        (8192, 4096, "BGGR", 12),
    ],
)
def test_a_format_that_no_map_could_be_made_of_is_refused(width: int, height: int, pattern: str, bits: int) -> None:
    with pytest.raises(BirthmarkError) as caught:
        frame_format(width, height, pattern, bits, "")
    assert caught.value.code == "nuc.frames-wrong-shape"
