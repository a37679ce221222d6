"""Two-point non-uniformity correction: computes each pixel's offset and gain from dark and flat frames.

The offset is a pixel's value in the dark. The gain is the factor that makes its response to light equal the mean of
its neighbours of the same colour; lens shading and uneven light are smooth and therefore do not enter the gain.

Frames are summed as they arrive and not kept. Averages are uint16 in 2**-16 of full scale for any bit depth, which is
finer than their remaining noise.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from device_agent.nuc_map import quality
from device_agent.nuc_map.format import DEFECTIVE, Header, MapFile
from device_agent.nuc_map.frames import ColourPlane, FrameFormat, FrameSource, Light, Pixels, colour_planes
from device_agent.nuc_map.pattern import correlation, gain_of

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
    for number, frame in enumerate(source.frames(Light.FLAT, count)):
        watch.check(frame)
        halves[number % 2].add(frame.pixels)
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
        total.add(frame.pixels)
        progress()
    format_ = watch.finished()
    return Darks(format_, total.average(format_.bits), watch.count)


def build(flats: Flats, darks: Darks) -> MapFile:
    """Return the map. Raises `nuc.frames-…` where the frames are not good enough."""
    format_ = flats.format
    quality.check_same_format(darks.format, format_)
    gain = np.empty((format_.height, format_.width), np.dtype("<u2"))
    reliabilities = []
    for plane in colour_planes(format_.pattern):
        plane.of(gain)[:], reliability = measure(flats, darks.offset, plane)
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
    return MapFile(header, darks.offset.astype("<u2", copy=False).data.cast("B"), gain.data.cast("B"))


def measure(flats: Flats, offset: Pixels, plane: ColourPlane) -> tuple[Pixels, float]:
    """Return one colour's gain plane and its reliability: the share of its variance that is the sensor's, 0 to 1.

    The correlation of the two halves gives the reliability of the whole (Spearman and Brown, 1910). Raises
    `nuc.frames-too-dark` and `nuc.frames-uneven`.
    """
    dark = plane.of(offset).astype(np.float32)
    first = plane.of(flats.first) - dark
    second = plane.of(flats.second) - dark
    del dark  # frees 12 MB; a Pi Zero has 512
    halves = correlation(gain_of(first), gain_of(second))
    first += second
    first /= 2
    quality.check_light(first, plane.name)
    return gain_of(first), round(max(0.0, 2 * halves / (1 + halves)), 4)


def defective_pixels(nuc_map: MapFile) -> int:
    """Count the pixels that the map marks as defective."""
    return int(np.count_nonzero(np.frombuffer(nuc_map.gain, "<u2") == DEFECTIVE))


class _Sum:
    """Sums frames. `average` may be called once."""

    def __init__(self) -> None:
        self._total: NDArray[np.uint32] | None = None
        self._count = 0

    def add(self, pixels: Pixels) -> None:
        if self._total is None:
            self._total = pixels.astype(np.uint32)
        else:
            self._total += pixels
        self._count += 1

    def average(self, bits: int) -> Pixels:
        """Return the average in 2**-16 of full scale. Up to 65,535 frames of 16 bits do not overflow."""
        total, self._total = self._total, None
        if total is None:
            raise ValueError("there is nothing to average")
        total <<= 16 - bits
        total += self._count // 2
        total //= self._count
        return total.astype(np.uint16)
