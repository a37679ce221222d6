"""Defines raw frames and their sources, and unpacks a camera's bytes.

A frame is a plane of `height` rows of `width` uint16, one number a pixel, as the sensor's converter gave it.
"""

from __future__ import annotations

import ctypes
import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from enum import Enum
from typing import Final, Protocol, TypeVar, cast, get_args

import numpy as np
from numpy.typing import NDArray

from device_agent.nuc_map.format import Pattern
from shared import limits
from shared.errors import BirthmarkError
from shared.text import printable

Pixels = NDArray[np.uint16]
Number = TypeVar("Number", bound=np.generic)
PATTERNS: Final[tuple[str, ...]] = get_args(Pattern)

SIDE_MIN: Final = 96
"""The shortest side in pixels. A colour plane of 48 still has enough blocks to tell a scene from a lit surface."""
SIDE_MAX: Final = 16384
PIXELS_MAX: Final = (limits.NUC_MAP_BYTES - 8192) // 4
"""The most pixels that two planes of a map have room for; also bounds what is read of a frame."""
SENSOR_CHARACTERS: Final = 64
_M_MMAP_THRESHOLD: Final = -3
_BAND: Final = 64
"""Lines worked on at a time: what is computed of a frame for a moment needs little memory."""


def bands(lines: int) -> Iterator[slice]:
    """Yield slices of few lines that together are all of them."""
    for start in range(0, lines, _BAND):
        yield slice(start, start + _BAND)


def return_large_memory() -> None:
    """Have the C library give an array of a MiB or more back to the system as soon as it is dropped.

    Otherwise it keeps up to two planes of 12 megapixels of what was dropped. Does nothing where that is another library
    than glibc (mallopt(3)).
    """
    with suppress(AttributeError):
        ctypes.CDLL(None).mallopt(_M_MMAP_THRESHOLD, 1 << 20)


class Light(Enum):
    """What the sensor looks at."""

    FLAT = "flat"
    DARK = "dark"


@dataclass(frozen=True, slots=True)
class FrameFormat:
    """The format of a sensor's frames. `frame_format` makes it of values from outside."""

    width: int
    height: int
    pattern: Pattern
    bits: int
    sensor: str

    @property
    def white(self) -> int:
        return (1 << self.bits) - 1


@dataclass(frozen=True, slots=True)
class Frame:
    format: FrameFormat
    pixels: Pixels


class FrameSource(Protocol):
    """A sensor, or a stand-in for one."""

    def frames(self, light: Light, count: int) -> Iterator[Frame]:
        """Yield at most `count` frames under this light, fewer if there are no more. Raises `nuc.frames-unreadable`."""


def frame_format(width: int, height: int, pattern: str, bits: int, sensor: str) -> FrameFormat:
    """Check a format from outside. Raises `nuc.frames-wrong-shape`."""
    if pattern not in PATTERNS:
        raise BirthmarkError("nuc.frames-wrong-shape", f"its colour pattern is not one of {', '.join(PATTERNS)}")
    if not 8 <= bits <= 16:
        raise BirthmarkError("nuc.frames-wrong-shape", f"{bits} bits a pixel, not 8 to 16")
    if not (SIDE_MIN <= width <= SIDE_MAX and SIDE_MIN <= height <= SIDE_MAX):
        raise BirthmarkError(
            "nuc.frames-wrong-shape", f"{width} x {height} pixels, not {SIDE_MIN} to {SIDE_MAX} each way"
        )
    if width * height > PIXELS_MAX:
        raise BirthmarkError("nuc.frames-wrong-shape", f"{width} x {height} pixels make too large a map")
    if pattern != "MONO" and (width % 2 or height % 2):
        raise BirthmarkError("nuc.frames-wrong-shape", f"{width} x {height} pixels do not hold whole colour cells")
    return FrameFormat(width, height, cast(Pattern, pattern), bits, printable(sensor, SENSOR_CHARACTERS))


@dataclass(frozen=True, slots=True)
class ColourPlane:
    """The pixels of one colour: every second one of every second row, from (`row`, `column`) on."""

    name: str
    row: int
    column: int
    step: int

    def of(self, pixels: NDArray[Number]) -> NDArray[Number]:
        """Return a view of the colour's pixels."""
        return pixels[self.row :: self.step, self.column :: self.step]


def colour_planes(pattern: Pattern) -> tuple[ColourPlane, ...]:
    """Return R, Gr, Gb and B in the order of the pattern, or one plane `mono`. Gr is the green in the rows with red."""
    if pattern == "MONO":
        return (ColourPlane("mono", 0, 0, 1),)
    planes = []
    for place, colour in enumerate(pattern):
        neighbour = pattern[place ^ 1].lower()
        planes.append(ColourPlane(colour + neighbour if colour == "G" else colour, place // 2, place % 2, 2))
    return tuple(planes)


_RAW: Final = re.compile(r"(?:S?(BGGR|GBRG|GRBG|RGGB)|R)(8|10|12|14|16)(_CSI2P)?\Z")


@dataclass(frozen=True, slots=True)
class RawFormat:
    """libcamera's name for a raw format, as picamera2 gives it: `SBGGR12`, `SRGGB10_CSI2P`, `R10`."""

    pattern: Pattern
    bits: int
    packed: bool


def raw_format(name: str) -> RawFormat:
    """Parse a raw format's name. Raises `nuc.camera-format`, also for PISP_COMP1, whose compression is lossy."""
    match = _RAW.match(name)
    if not match or (match[3] and match[2] not in ("10", "12")):
        raise BirthmarkError("nuc.camera-format", printable(name, 32))
    return RawFormat(cast(Pattern, match[1] or "MONO"), int(match[2]), bool(match[3]))


def unpacked(rows: NDArray[np.uint8], raw: RawFormat, width: int) -> Pixels:
    """Return the pixels in a camera's buffer: a row of bytes, with padding at its end, for each row of pixels.

    Packed as in the kernel's V4L2_PIX_FMT_SBGGR10P and …12P: the high eight bits of four (two) pixels, then one byte
    with their low bits, the first pixel's lowest. Unpacked samples are little-endian words. Raises
    `nuc.frames-unreadable` where a row is too short.
    """
    needed = width * raw.bits // 8 if raw.packed else width * (1 if raw.bits == 8 else 2)
    per_group = {10: 4, 12: 2}[raw.bits] if raw.packed else 1
    if rows.ndim != 2 or rows.shape[1] < needed or width % per_group:
        raise BirthmarkError("nuc.frames-unreadable", "the camera's rows are too short")
    used = rows[:, :needed]
    if not raw.packed:
        # A view where that is possible: a copy of 12 megapixels is 24 MB.
        return used.astype(np.uint16) if raw.bits == 8 else used.view("<u2").astype(np.uint16, copy=False)
    low_bits = 8 // per_group
    pixels = np.empty((rows.shape[0], width), np.uint16)
    for band in bands(len(rows)):
        low = used[band, per_group :: per_group + 1]
        for place in range(per_group):
            column = pixels[band, place::per_group]
            np.left_shift(used[band, place :: per_group + 1], low_bits, out=column, dtype=np.uint16)
            column |= (low >> (place * low_bits)) & ((1 << low_bits) - 1)
    return pixels
