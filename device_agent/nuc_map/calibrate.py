"""Two-point non-uniformity correction: from dark and flat frames to each pixel's offset and gain.

Offset is what a pixel says in the dark. Gain is what its answer to light must be multiplied by to be that of the
pixels of its colour around it; so lens shading and uneven light, which are smooth, are in no pixel's gain.

Frames are summed as they come and never kept. Averages are uint16 in 2**-16 of full scale, whatever the sensor's bits:
finer than the noise that is left in them.
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
"""Called once for each frame taken."""


@dataclass(frozen=True, slots=True)
class Flats:
    """Averages of two halves of the flat frames: how far they agree says how much of the pattern is the sensor's."""

    format: FrameFormat
    first: Pixels
    second: Pixels
    count: int


def take_flats(source: FrameSource, count: int, progress: Progress = lambda: None) -> Flats:
    """Raises what `quality.Watch` and the source raise."""
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
    """Raises what `quality.Watch` and the source raise."""
    watch = quality.Watch(Light.DARK)
    total = _Sum()
    for frame in source.frames(Light.DARK, count):
        watch.check(frame)
        total.add(frame.pixels)
        progress()
    format_ = watch.finished()
    return Darks(format_, total.average(format_.bits), watch.count)


def build(flats: Flats, darks: Darks) -> MapFile:
    """The map. Raises `nuc.frames-…` where the frames do not show the sensor well enough."""
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
    """One colour's gain plane and its reliability: the share of its variance that is the sensor's, 0 to 1.

    The reliability of the whole follows from the correlation of its two halves (Spearman and Brown, 1910). Raises
    `nuc.frames-too-dark` and `nuc.frames-uneven`.
    """
    dark = plane.of(offset).astype(np.float32)
    first = plane.of(flats.first) - dark
    second = plane.of(flats.second) - dark
    del dark  # 12 MB of a Pi Zero's 512
    halves = correlation(gain_of(first), gain_of(second))
    first += second
    first /= 2
    quality.check_light(first, plane.name)
    return gain_of(first), round(max(0.0, 2 * halves / (1 + halves)), 4)


def defective_pixels(nuc_map: MapFile) -> int:
    """How many pixels the map gives up."""
    return int(np.count_nonzero(np.frombuffer(nuc_map.gain, "<u2") == DEFECTIVE))


class _Sum:
    """Frames added up; `average` uses it up."""

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
        """In 2**-16 of full scale. Up to 65,535 frames of 16 bits do not overflow."""
        total, self._total = self._total, None
        if total is None:
            raise ValueError("there is nothing to average")
        total <<= 16 - bits
        total += self._count // 2
        total //= self._count
        return total.astype(np.uint16)
