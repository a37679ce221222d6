"""Whether new flat frames are from the sensor a map was made of.

The measure is the correlation of gains, colour by colour. What the same sensor would give is known beforehand from
how reliable both sides are: the geometric mean of the two reliabilities (Spearman 1904, attenuation). Another sensor
gives 0, give or take one over the root of the number of pixels.
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
"""Share of the expected correlation that every colour must reach. In the smallest frames that are taken a colour has
2,304 pixels, and with the least reliability allowed another sensor reaches 0.5 at 12 standard deviations."""
ANOTHER: Final = 0.2
"""Share of the expected correlation that no colour reaches where the sensor is another. 4.8 such deviations in the
smallest frames, thousands of pixels more in any real one. Between the two nobody can tell: dust, damage, bad light."""


class Verdict(Enum):
    FITS = "fits"
    UNCLEAR = "unclear"
    ANOTHER = "another-sensor"


@dataclass(frozen=True, slots=True)
class ColourFit:
    colour: str
    correlation: float
    expected: float
    """What the same sensor would give with frames of this quality."""

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
    """Compare. The dark is the map's: a pixel's offset is small beside its answer to light, and no lens cap is needed.

    Raises `nuc.frames-wrong-shape` where the frames cannot be this map's, and `nuc.frames-…` where they are bad.
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
