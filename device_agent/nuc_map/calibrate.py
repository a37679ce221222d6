"""Two-point non-uniformity correction: computes each pixel's offset and gain from dark and flat frames.

The offset is a pixel's value in the dark. The gain is the factor that makes its response to light equal the mean of
its neighbours of the same colour; lens shading and uneven light are smooth and therefore do not enter the gain.

Frames are summed as they arrive and not kept, so memory does not grow with their number. Averages are uint16 in 2**-16
of full scale for any bit depth, which is finer than their remaining noise.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from device_agent.nuc_map import quality
from device_agent.nuc_map.format import Header, MapFile
from device_agent.nuc_map.frames import (
    ColourPlane,
    Frame,
    FrameFormat,
    FrameSource,
    Light,
    Pixels,
    bands,
    colour_planes,
)
from device_agent.nuc_map.pattern import Response, correlation, gain_of

Progress = Callable[[], None]
"""Called once for each frame."""


@dataclass(frozen=True, slots=True)
class Flats:
    """Averages of two halves of the flat frames. Their agreement measures how much of the pattern is the sensor's."""

    format: FrameFormat
    first: Pixels
    second: Pixels
    count: int


def take_flats(source: FrameSource, count: int, progress: Progress = lambda: None) -> Flats:
    """Average the flat frames. Raises the errors of `quality.Watch` and of the source."""
    watch = quality.Watch(Light.FLAT)
    halves = _Sum(), _Sum()
    for frame in source.frames(Light.FLAT, count):
        watch.check(frame)
        halves[1 - watch.count % 2].add(frame)
        del frame  # frees it before the next arrives
        progress()
    format_ = watch.finished()
    return Flats(format_, halves[0].average(format_.bits), halves[1].average(format_.bits), watch.count)


@dataclass(frozen=True, slots=True)
class Darks:
    format: FrameFormat
    offset: Pixels
    count: int


def take_darks(source: FrameSource, count: int, progress: Progress = lambda: None) -> Darks:
    """Average the dark frames. Raises the errors of `quality.Watch` and of the source."""
    watch = quality.Watch(Light.DARK)
    total = _Sum()
    for frame in source.frames(Light.DARK, count):
        watch.check(frame)
        total.add(frame)
        del frame
        progress()
    format_ = watch.finished()
    return Darks(format_, total.average(format_.bits), watch.count)


def build(flats: Flats, darks: Darks) -> MapFile:
    """Return the map, made in the memory of `flats`, which are used up. Raises `nuc.frames-…` for frames too bad."""
    format_ = flats.format
    quality.check_same_format(darks.format, format_)
    gain = flats.first
    reliabilities = []
    for plane in colour_planes(format_.pattern):
        plane.of(gain)[:], reliability = measure(flats, darks.offset, plane, spend=True)
        reliabilities.append(reliability)
    quality.check_reliability(reliabilities, flats.count)
    header = Header(
        width=format_.width,
        height=format_.height,
        pattern=format_.pattern,
        bits=format_.bits,
        sensor=format_.sensor,
        dark_frames=darks.count,
        flat_frames=flats.count,
        reliability=tuple(reliabilities),
    )
    offset, gain = (plane.astype("<u2", copy=False) for plane in (darks.offset, gain))
    return MapFile(header, offset.data.cast("B"), gain.data.cast("B"))


def measure(flats: Flats, offset: Pixels, plane: ColourPlane, *, spend: bool = False) -> tuple[Pixels, float]:
    """Return one colour's gain plane and its reliability: the share of its variance that is the sensor's, 0 to 1.

    The correlation of the two halves gives the reliability of the whole (Spearman and Brown, 1910). With `spend` the
    colour's pixels in `flats` are used up. Raises `nuc.frames-too-dark` and `nuc.frames-uneven`.
    """
    dark, first, second = (plane.of(pixels) for pixels in (offset, flats.first, flats.second))
    whole = Response((first, second), dark)
    quality.check_light(whole, plane.name)
    gain = gain_of(whole)
    one, other = (gain_of(Response((half,), dark), out=half if spend else None) for half in (first, second))
    halves = correlation(one, other)
    return gain, round(max(0.0, 2 * halves / (1 + halves)), 4)


def defective_pixels(nuc_map: MapFile) -> int:
    """Count the pixels that the map marks as defective."""
    gain = np.frombuffer(nuc_map.gain, "<u2")
    return gain.size - int(np.count_nonzero(gain))


class _Sum:
    """Sums frames exactly. `average` may be called once.

    Keeps 16 bits for each pixel, and each higher bit in a plane of bits, from the first pixel on that needs it: most
    captures need none or one.
    """

    def __init__(self) -> None:
        self._low: Pixels | None = None
        self._high: list[NDArray[np.uint8]] = []
        self._count = 0

    def add(self, frame: Frame) -> None:
        pixels = frame.pixels
        self._count += 1
        if self._low is None:
            self._low = np.zeros((frame.format.height, frame.format.width), np.uint16)
        carries = self._count * frame.format.white > 0xFFFF
        for rows in bands(len(pixels)):
            low, added = self._low[rows], pixels[rows]
            low += added
            if carries:
                self._carry(len(pixels), rows, np.packbits(low < added, axis=1))

    def _carry(self, height: int, rows: slice, carry: NDArray[np.uint8]) -> None:
        place = 0
        while carry.any():
            if place == len(self._high):
                self._high.append(np.zeros((height, carry.shape[1]), np.uint8))
            bits = self._high[place][rows]
            bits ^= carry
            carry = carry & ~bits
            place += 1

    def average(self, bits: int) -> Pixels:
        """Return the average in 2**-16 of full scale. Up to 65,535 frames of 16 bits do not overflow."""
        average, self._low = self._low, None
        if average is None:
            raise ValueError("there is nothing to average")
        for rows in bands(len(average)):
            total = average[rows].astype(np.uint32)
            for place, high in enumerate(self._high, 16):
                total |= np.unpackbits(high[rows], axis=1, count=total.shape[1]).astype(np.uint32) << place
            total <<= 16 - bits
            total += self._count // 2
            total //= self._count
            average[rows] = total
        self._high.clear()
        return average
