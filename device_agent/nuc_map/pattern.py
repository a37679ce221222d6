"""Computes the gain of one colour plane from its response to light, and the correlation of two gains.

`Field` is a plane of float32 in any unit; a gain plane is uint16 as in the file (`format.GAIN_ONE`, `DEFECTIVE`).

A colour of 12 megapixels is 12 MiB of float32, and a Pi Zero has 512. So everything here works on bands of lines, and
no more than one such plane is there at a time.
"""

from __future__ import annotations

from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray

from device_agent.nuc_map.format import DEFECTIVE, GAIN_ONE
from device_agent.nuc_map.frames import Pixels, bands

Field = NDArray[np.float32]

NEIGHBOURHOOD: Final = 16
"""Pixels of its colour on each side that a pixel is compared with. The mean of 33 x 33 carries 1/33 of their scatter,
and lens shading is practically linear over that distance."""
DEFECT: Final = 0.25
"""Relative distance from the neighbours beyond which a pixel is defective. Normal scatter is about 0.01."""
_OUTLIER: Final = 5.0
"""Standard deviations to which a pixel is clipped, so that a few bad pixels do not dominate the correlation."""


class Plane(Protocol):
    """A plane that gives float32 where it is indexed: a `Field`, or a `Response`, which computes them then."""

    @property
    def shape(self) -> tuple[int, ...]: ...

    def __getitem__(self, where: tuple[slice, slice], /) -> Field: ...


class Response:
    """One colour's response to light: the mean of some averages of flat frames, minus the dark."""

    def __init__(self, flats: tuple[Pixels, ...], dark: Pixels) -> None:
        self._flats = flats
        self._dark = dark

    @property
    def shape(self) -> tuple[int, ...]:
        return self._dark.shape

    def __getitem__(self, where: tuple[slice, slice]) -> Field:
        dark = self._dark[where].astype(np.float32)
        total = np.zeros_like(dark)
        for flat in self._flats:
            total += flat[where] - dark  # whole numbers under 2**24: exact
        total /= len(self._flats)
        return total


ALL: Final = slice(None)


def gain_of(answer: Plane, out: Pixels | None = None) -> Pixels:
    """Return the gain plane of one colour's response to light.

    `out` gets it, and may be the memory that `answer` is computed from.
    """
    height, width = answer.shape
    around = local_mean(answer)
    gain = np.empty((height, width), np.uint16) if out is None else out
    for rows in bands(height):
        field, mean = answer[rows, ALL], around[rows]
        with np.errstate(divide="ignore", invalid="ignore"):
            good = np.abs(field / mean - 1) < DEFECT  # False for NaN
            mean /= field
        mean *= GAIN_ONE
        mean[~good] = DEFECTIVE
        gain[rows] = np.rint(mean, out=mean)
    return gain


def local_mean(field: Plane) -> Field:
    """Return the mean around each pixel. Near a border the window shrinks on both sides, which preserves slopes."""
    height, width = field.shape
    mean = np.empty((height, width), np.float32)
    for columns in bands(width):
        mean[:, columns] = _running_mean(field[ALL, columns])
    for rows in bands(height):
        mean[rows] = _running_mean(mean[rows].T).T
    return mean


def _running_mean(lines: Field) -> NDArray[np.float64]:
    """Average along the first axis."""
    length = len(lines)
    place = np.arange(length)
    reach = np.minimum(NEIGHBOURHOOD, np.minimum(place, length - 1 - place))
    sums = np.zeros((length + 1, lines.shape[1]))
    np.cumsum(lines, axis=0, out=sums[1:])
    mean: NDArray[np.float64] = sums[place + reach + 1]
    mean -= sums[place - reach]
    mean /= (2 * reach + 1)[:, None]
    return mean


def correlation(one: Pixels, other: Pixels) -> float:
    """Return Pearson's correlation of two gain planes, -1 to 1; 0 where there is nothing to compare.

    It ignores pixels defective in either plane, and the means of rows and columns, which come from the read-out and are
    alike in all sensors of a model (Chen, Fridrich, Goljan, Lukáš 2008, section III.B).
    """
    residuals = _Residual(one, other), _Residual(other, one)
    products = np.zeros(3)
    for rows in bands(len(one)):
        a, b = (residual.clipped(rows) for residual in residuals)
        products += [_dot(a, a), _dot(b, b), _dot(a, b)]
    scale = float(np.sqrt(products[0]) * np.sqrt(products[1]))
    return float(products[2]) / scale if scale else 0.0


class _Residual:
    """What is left of a gain plane without the means of its rows and columns, outliers clipped."""

    def __init__(self, gain: Pixels, other: Pixels) -> None:
        """Only pixels count that are good in `other`, too."""
        self._gain = gain
        self._other = other
        width = gain.shape[1]
        sums, counts = np.zeros(width), np.zeros(width)
        for rows in bands(len(gain)):
            field, valid = self._without_rows(rows)
            sums += field.sum(axis=0)
            counts += valid.sum(axis=0)
        self._columns = sums / np.maximum(counts, 1)
        total = squares = 0.0
        for rows in bands(len(gain)):
            field = self._without_columns(rows)
            total += float(field.sum())
            squares += _dot(field, field)
        mean = total / gain.size
        self._bound = _OUTLIER * max(squares / gain.size - mean * mean, 0.0) ** 0.5

    def clipped(self, rows: slice) -> NDArray[np.float64]:
        field = self._without_columns(rows)
        return np.clip(field, -self._bound, self._bound, out=field)

    def _without_columns(self, rows: slice) -> NDArray[np.float64]:
        field, valid = self._without_rows(rows)
        field -= self._columns
        field *= valid
        return field

    def _without_rows(self, rows: slice) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
        gain = self._gain[rows]
        valid = (gain != DEFECTIVE) & (self._other[rows] != DEFECTIVE)
        field = gain.astype(np.float64)
        field -= GAIN_ONE
        field *= valid
        counts = np.maximum(valid.sum(axis=1, keepdims=True), 1)
        field -= field.sum(axis=1, keepdims=True) / counts
        field *= valid
        return field, valid


def _dot(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    """Return the sum of products, in this thread: others cost more for a band than they save."""
    return float(np.einsum("ij,ij->", a, b))
