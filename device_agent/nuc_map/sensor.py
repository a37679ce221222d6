"""Simulates a sensor for tests and demonstrations: a seed names the sensor, an occasion selects the noise.

The figures follow EMVA 1288 reports of small CMOS sensors (1.5 µm pixels) at base gain: 4,000 to 8,000 electrons of
full well, 2 to 3 of read noise, gain scatter about 0.8 %. Its map is no secret: anyone who knows the seed can make it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np

from device_agent.nuc_map.frames import Frame, FrameFormat, Light, colour_planes, frame_format
from device_agent.nuc_map.pattern import Field

_FIELD: Final = np.float32
_TWELVE_BITS: Final = 4096
_BLACK: Final = 256.0
_ELECTRONS: Final = 2.0  # for each step of 12 bits
_READ_NOISE: Final = 1.5
_GAIN_SCATTER: Final = 0.008
_OFFSET_SCATTER: Final = 1.2
_DARK_SIGNAL: Final = 0.1  # mean at 25 °C in a tenth of a second; differs from pixel to pixel
_DOUBLING: Final = 7.0  # °C that double the dark signal
_HOT: Final = 2e-4
_DEAD: Final = 1e-4
_MODEL_SCATTER: Final = 0.004  # scatter of the columns' gain, the same in every sensor of the model
_COLOURS: Final = {"R": 0.7, "G": 1.0, "B": 0.8, "m": 1.0}
_MODEL_SEED: Final = 0x1288


@dataclass(frozen=True, slots=True)
class Occasion:
    """The conditions under which frames are taken. Levels are shares of full scale above black."""

    number: int = 0
    """Selects the noise; two numbers share none."""
    level: float = 0.5
    """Level of the brightest colour in the centre."""
    shading: float = 0.25
    """How much darker the corners are."""
    slant: float = 0.1
    """How much the light changes from left to right."""
    temperature: float = 25.0
    """°C."""


FACTORY: Final = Occasion()
LATER: Final = Occasion(number=1, level=0.4, shading=0.35, slant=-0.2, temperature=45.0)
"""Another day: warmer, less light, slanted the other way, more shading."""


class SimulatedSensor:
    """A `FrameSource`."""

    def __init__(
        self,
        seed: int,
        occasion: Occasion = FACTORY,
        width: int = 640,
        height: int = 480,
        pattern: str = "BGGR",
        bits: int = 12,
    ) -> None:
        self.format: FrameFormat = frame_format(width, height, pattern, bits, "simulated")
        self.occasion = occasion
        self._seed = seed
        rng = np.random.default_rng([seed, 0])
        shape = (height, width)
        columns = np.random.default_rng([_MODEL_SEED, width]).standard_normal(width, _FIELD)
        self._gain = 1 + _GAIN_SCATTER * rng.standard_normal(shape, _FIELD) + _MODEL_SCATTER * columns
        self._offset = _BLACK + _OFFSET_SCATTER * rng.standard_normal(shape, _FIELD)
        self._dark = _DARK_SIGNAL * rng.standard_exponential(shape, _FIELD)
        self._dark[rng.random(shape, _FIELD) < _HOT] *= 3000
        self._gain[rng.random(shape, _FIELD) < _DEAD] = 0

    def frames(self, light: Light, count: int) -> Iterator[Frame]:
        occasion = self.occasion
        rng = np.random.default_rng([self._seed, 1, occasion.number, int(light is Light.FLAT)])
        signal = self._offset + self._dark * _FIELD(2 ** ((occasion.temperature - 25) / _DOUBLING))
        if light is Light.FLAT:
            signal += self._gain * self._illumination()
        variance = np.maximum(signal - _BLACK, 0) / _ELECTRONS + _READ_NOISE**2
        scatter = np.sqrt(variance, out=variance)
        scale = 2.0 ** (self.format.bits - 12)
        for _ in range(count):
            noise = rng.standard_normal((self.format.height, self.format.width), _FIELD)
            # The converter has 12 bits for every output format.
            steps = np.clip(np.rint(signal + scatter * noise), 0, _TWELVE_BITS - 1)
            yield Frame(self.format, (steps * scale).astype(np.uint16))

    def _illumination(self) -> Field:
        occasion = self.occasion
        x = np.linspace(-1, 1, self.format.width, dtype=_FIELD)
        y = np.linspace(-1, 1, self.format.height, dtype=_FIELD)[:, np.newaxis]
        fall = 1 - occasion.shading * (x**2 + y**2) / 2 + occasion.slant * x / 2
        light = (fall * (occasion.level * (_TWELVE_BITS - 1 - _BLACK))).astype(_FIELD)
        for plane in colour_planes(self.format.pattern):
            light[plane.row :: plane.step, plane.column :: plane.step] *= _COLOURS[plane.name[0]]
        return light
