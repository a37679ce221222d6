"""Decides whether new flat frames come from the sensor that a map was made of.

It correlates the gains of each colour. For the same sensor the expected correlation is the geometric mean of both
reliabilities (Spearman 1904, attenuation). For another sensor it is 0, with a standard deviation of one over the
square root of the number of pixels.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Final

import numpy as np

from device_agent.nuc_map import quality
from device_agent.nuc_map.calibrate import Flats, measure
from device_agent.nuc_map.format import MapFile
from device_agent.nuc_map.frames import FrameFormat, Pixels, colour_planes
from device_agent.nuc_map.pattern import correlation

FITS: Final = 0.5
"""Share of the expected correlation that every colour must reach. In the smallest frames accepted a colour has 2,304
pixels; with the least reliability allowed another sensor reaches 0.5 at 12 standard deviations."""
ANOTHER: Final = 0.2
"""Below this share of the expected correlation in every colour the sensor is another: 4.8 such deviations in the
smallest frames, more in real ones. Between the two limits the cause is unclear: dust, damage or bad light."""


class Verdict(Enum):
    FITS = "fits"
    UNCLEAR = "unclear"
    ANOTHER = "another-sensor"


@dataclass(frozen=True, slots=True)
class ColourFit:
    colour: str
    correlation: float
    expected: float
    """The correlation that the same sensor gives with frames of this quality."""

    @property
    def agreement(self) -> float:
        """1 for the same sensor, 0 for another."""
        return self.correlation / self.expected


@dataclass(frozen=True, slots=True)
class Fit:
    colours: tuple[ColourFit, ...]

    @property
    def verdict(self) -> Verdict:
        agreements = [colour.agreement for colour in self.colours]
        if min(agreements) >= FITS:
            return Verdict.FITS
        return Verdict.ANOTHER if max(agreements) < ANOTHER else Verdict.UNCLEAR


def judge(nuc_map: MapFile, flats: Flats) -> Fit:
    """Compare flat frames with a map. The map's offset replaces dark frames, because it is small beside the flat.

    Raises `nuc.frames-wrong-shape` for frames of another format than the map's, and `nuc.frames-…` for bad ones.
    """
    header = nuc_map.header
    expected_format = FrameFormat(header.width, header.height, header.pattern, header.bits, flats.format.sensor)
    quality.check_same_format(flats.format, expected_format, "the frames are")
    offset, gain = (_plane(data, header.height) for data in (nuc_map.offset, nuc_map.gain))
    found, reliabilities = [], []
    for place, plane in enumerate(colour_planes(header.pattern)):
        fresh, reliability = measure(flats, offset, plane)
        reliabilities.append(reliability)
        expected = (max(header.reliability[place], quality.RELIABILITY_MIN) * reliability) ** 0.5
        found.append((plane.name, correlation(plane.of(gain), fresh), expected))
    quality.check_reliability(reliabilities, flats.count)
    return Fit(tuple(ColourFit(*values) for values in found))


def _plane(data: bytes | bytearray | memoryview, height: int) -> Pixels:
    return np.frombuffer(data, "<u2").reshape(height, -1)
