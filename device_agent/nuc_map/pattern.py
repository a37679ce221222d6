"""Computes the gain of one colour plane from its response to light, and the correlation of two gains.

`Field` is a plane of float32 in any unit; a gain plane is uint16 as in the file (`format.GAIN_ONE`, `DEFECTIVE`).
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from device_agent.nuc_map.format import DEFECTIVE, GAIN_ONE
from device_agent.nuc_map.frames import Pixels

Field = NDArray[np.float32]

NEIGHBOURHOOD: Final = 16
"""Pixels of its colour on each side that a pixel is compared with. The mean of 33 x 33 carries 1/33 of their scatter,
and lens shading is practically linear over that distance."""
DEFECT: Final = 0.25
"""Relative distance from the neighbours beyond which a pixel is defective. Normal scatter is about 0.01."""
_OUTLIER: Final = 5.0
"""Standard deviations to which a pixel is clipped, so that a few bad pixels do not dominate the correlation."""
_BAND: Final = 256
"""Lines processed at a time; bounds the memory for their sums."""


def gain_of(answer: Field) -> Pixels:
    """Return the gain plane of one colour's response to light (flat minus dark)."""
    around = local_mean(answer)
    with np.errstate(divide="ignore", invalid="ignore"):
        good = np.abs(answer / around - 1) < DEFECT  # False for NaN
        around /= answer
    around *= GAIN_ONE
    around[~good] = DEFECTIVE
    return np.rint(around, out=around).astype(np.uint16)


def local_mean(field: Field) -> Field:
    """Return the mean around each pixel. Near a border the window shrinks on both sides, which preserves slopes."""
    return _running_mean(_running_mean(field).T).T


def _running_mean(field: Field) -> Field:
    """Average along the first axis."""
    length, lines = field.shape
    place = np.arange(length)
    reach = np.minimum(NEIGHBOURHOOD, np.minimum(place, length - 1 - place))
    mean = np.empty(field.shape, np.float32)
    for start in range(0, lines, _BAND):
        band = field[:, start : start + _BAND]
        sums = np.zeros((length + 1, band.shape[1]))
        np.cumsum(band, axis=0, out=sums[1:])
        mean[:, start : start + _BAND] = (sums[place + reach + 1] - sums[place - reach]) / (2 * reach + 1)[:, None]
    return mean


def correlation(one: Pixels, other: Pixels) -> float:
    """Return Pearson's correlation of two gain planes, -1 to 1; 0 where there is nothing to compare.

    It ignores pixels defective in either plane, and the means of rows and columns, which come from the read-out and are
    alike in all sensors of a model (Chen, Fridrich, Goljan, Lukáš 2008, section III.B).
    """
    valid = (one != DEFECTIVE) & (other != DEFECTIVE)
    a, b = _residual(one, valid), _residual(other, valid)
    scale = float(np.sqrt(np.vdot(a, a)) * np.sqrt(np.vdot(b, b)))
    return float(np.vdot(a, b)) / scale if scale else 0.0


def _residual(gain: Pixels, valid: NDArray[np.bool_]) -> Field:
    field = gain.astype(np.float32)
    field -= GAIN_ONE
    field *= valid
    for axis in (1, 0):
        counts = np.maximum(valid.sum(axis=axis, keepdims=True), 1)
        field -= field.sum(axis=axis, keepdims=True) / counts.astype(np.float32)
        field *= valid
    bound = _OUTLIER * float(field.std())
    return np.clip(field, -bound, bound, out=field)
