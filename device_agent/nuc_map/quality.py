"""Checks whether frames are good enough to measure a sensor with. Each limit states its reason.

A frame is checked as it arrives, an average once it is complete.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from device_agent.nuc_map.frames import Frame, FrameFormat, Light, bands, colour_planes
from device_agent.nuc_map.pattern import ALL, Plane
from shared.errors import BirthmarkError

FRAMES_MIN: Final = 8
"""Frames under each light. Fewer do not allow a dependable estimate of their noise."""
SATURATED: Final = 0.98
SATURATED_SHARE: Final = 0.002
"""At most this share of a flat frame's pixels may reach `SATURATED` of white. Hot pixels are about 0.0002."""
LEVEL_CHANGE: Final = 0.02
"""Share of full scale by which a frame's mean may differ from the first frame's. Mains flicker and a warming lamp
stay within it; another exposure or lamp does not."""
DARK_MAX: Final = 0.125
"""Of full scale. Black levels of the Pi's sensors are 0.016 to 0.063."""
FLAT_MIN: Final = 0.1
"""Of full scale above the dark. Below it shot noise hides the pattern; a lens cap left on is far below."""
SHADING_MIN: Final = 0.2
"""Ratio of the flat's darkest part to its brightest. A wide lens behind opal glass has about 0.35 in its corners."""
STRUCTURE_MAX: Final = 0.01
"""Scatter of the flat's parts about a smooth surface. Vignetting and slanted light leave less than 0.003."""
RELIABILITY_MIN: Final = 0.5
"""Share of a pattern's variance that must be the sensor's. `fit` relies on it."""

_DEGREE: Final = 4
_PARTS: Final = 24
_PART_SIDE_MIN: Final = 6

BLACK: Final = 0.06
"""Of full scale: a sensor's black level, where it is not measured yet."""
_LOOK_SIDE: Final = 480
"""The most pixels of a colour, in each direction, that a look at a single frame takes."""


class Watch:
    """Checks the frames of one light as they arrive."""

    def __init__(self, light: Light) -> None:
        self._light = light
        self._format: FrameFormat | None = None
        self._levels: list[float] = []
        self._seen: set[bytes] = set()
        self.count = 0

    def check(self, frame: Frame) -> None:
        """Raises `nuc.frames-wrong-shape`, `-repeated`, `-mixed` or `-saturated`, or `nuc.dark-not-dark`."""
        self.count += 1
        number = f"{self._light.value} frame {self.count}"
        pixels, format_ = frame.pixels, frame.format
        if self._format is None:
            self._format = format_
        check_same_format(format_, self._format, number)
        if pixels.shape != (format_.height, format_.width) or pixels.max() > format_.white:
            raise BirthmarkError("nuc.frames-wrong-shape", f"{number} is not what its format says")
        content = hashlib.blake2b(digest_size=16)
        saturated = 0
        for rows in bands(format_.height):
            part = np.ascontiguousarray(pixels[rows])
            content.update(part.data)
            saturated += int(np.count_nonzero(part >= math.ceil(SATURATED * format_.white)))
        if content.digest() in self._seen:
            raise BirthmarkError("nuc.frames-repeated", number)
        self._seen.add(content.digest())
        levels = [float(plane.of(pixels).mean()) / format_.white for plane in colour_planes(format_.pattern)]
        self._levels = self._levels or levels
        change = max(abs(now - first) for now, first in zip(levels, self._levels, strict=True))
        if change > LEVEL_CHANGE:
            raise BirthmarkError("nuc.frames-mixed", f"{number} differs from the first by {change:.1%} of full scale")
        if self._light is Light.FLAT:
            share = saturated / pixels.size
            if share > SATURATED_SHARE:
                raise BirthmarkError("nuc.frames-saturated", f"{share:.1%} of the pixels of {number}")
        elif max(levels) > DARK_MAX:
            raise BirthmarkError("nuc.dark-not-dark", f"{number} is at {max(levels):.0%} of full scale")

    def finished(self) -> FrameFormat:
        """Return the format of the frames. Raises `nuc.frames-too-few`."""
        if self._format is None or self.count < FRAMES_MIN:
            raise BirthmarkError("nuc.frames-too-few", f"{self.count} {self._light.value}, not {FRAMES_MIN} or more")
        return self._format


def check_same_format(found: FrameFormat, expected: FrameFormat, what: str = "the dark frames") -> None:
    """Raises `nuc.frames-wrong-shape`."""
    if found != expected:
        raise BirthmarkError("nuc.frames-wrong-shape", f"{what}: {_describe(found)}, not {_describe(expected)}")


def _describe(format_: FrameFormat) -> str:
    return f"{format_.width} x {format_.height} {format_.pattern} {format_.bits} bits of {format_.sensor}"


def check_light(answer: Plane, colour: str) -> None:
    """Check that a colour plane's response to light, in 2**-16 of full scale, shows an evenly lit surface.

    Raises `nuc.frames-too-dark` or `nuc.frames-uneven`.
    """
    whole = np.empty((answer.shape[0], answer.shape[1]), np.float32)
    for rows in bands(len(whole)):
        whole[rows] = answer[rows, ALL]
    level = float(np.median(whole, overwrite_input=True)) / 65536
    del whole
    if level < FLAT_MIN:
        raise BirthmarkError("nuc.frames-too-dark", f"{colour} is {level:.1%} of full scale above the dark")
    parts = _part_medians(answer)
    shading = float(parts.min() / parts.max())
    if shading < SHADING_MIN:
        raise BirthmarkError("nuc.frames-uneven", f"{colour} falls to {shading:.0%} of its brightest part")
    structure = _measure_structure(parts)
    if structure > STRUCTURE_MAX:
        raise BirthmarkError("nuc.frames-uneven", f"{colour} has structure of {structure:.1%}")


def check_look(frame: Frame, light: Light) -> list[float]:
    """Check a single frame before any is taken, and return the level of each colour, of full scale.

    The black level is assumed, and a large frame is thinned out, so what passes may still fail later. Raises as
    `Watch.check` and `check_light` do.
    """
    Watch(light).check(frame)
    levels = []
    for plane in colour_planes(frame.format.pattern):
        pixels = plane.of(frame.pixels)
        step = math.ceil(max(pixels.shape) / _LOOK_SIDE)
        field = pixels[::step, ::step].astype(np.float32)
        field /= np.float32(frame.format.white + 1)
        levels.append(float(field.mean()))
        if light is Light.FLAT:
            field -= np.float32(BLACK)
            field *= np.float32(65536)
            check_light(field, plane.name)
    return levels


def _part_medians(answer: Plane) -> NDArray[np.float64]:
    """Return the medians of up to 24 x 24 equal parts; the remainder at the far edges is ignored."""
    side = max(_PART_SIDE_MIN, math.ceil(max(answer.shape) / _PARTS))
    rows, columns = answer.shape[0] // side, answer.shape[1] // side
    medians = np.empty((rows, columns))
    for row in range(rows):
        band = answer[slice(row * side, (row + 1) * side), slice(columns * side)]
        cells = band.reshape(side, columns, side)
        medians[row] = np.median(cells, axis=(0, 2))
    return medians


def _measure_structure(parts: NDArray[np.float64]) -> float:
    """Return the relative scatter of the parts about the best polynomial surface of the fourth degree."""
    rows, columns = parts.shape
    y, x = np.meshgrid(np.linspace(-1, 1, rows), np.linspace(-1, 1, columns), indexing="ij")
    terms = [(x**i * y**j).ravel() for i in range(_DEGREE + 1) for j in range(_DEGREE + 1 - i)]
    surface = np.stack(terms, axis=1)
    weights, *_ = np.linalg.lstsq(surface, parts.ravel(), rcond=None)
    fitted = surface @ weights
    squares = ((parts.ravel() - fitted) / np.maximum(fitted, 1.0)) ** 2
    return math.sqrt(float(squares.sum()) / (parts.size - len(terms)))


def check_reliability(reliabilities: Sequence[float], frames: int) -> None:
    """Raises `nuc.frames-noisy`, which names the number of frames that should be enough."""
    worst = min(reliabilities)
    if worst >= RELIABILITY_MIN:
        return
    if worst < 0.02:
        raise BirthmarkError("nuc.frames-noisy", "they show nothing of the sensor's own")
    # N times as many frames give N times the ratio of sensor variance to noise variance.
    enough = math.ceil(1.2 * frames * (1 - worst) / worst * RELIABILITY_MIN / (1 - RELIABILITY_MIN))
    raise BirthmarkError(
        "nuc.frames-noisy", f"{worst:.0%} of the pattern is the sensor's after {frames} frames; about {enough} would do"
    )
