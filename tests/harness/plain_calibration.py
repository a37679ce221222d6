"""The calibration of `device_agent.nuc_map` without any regard for memory: whole planes, all frames at once.

`calibrate` works in bands and in place. This is what it must agree with, bit for bit.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from device_agent.nuc_map.format import GAIN_ONE, Header, MapFile
from device_agent.nuc_map.frames import FrameFormat, FrameSource, Light, colour_planes

Plane = NDArray[Any]

_REACH: Final = 16


def captured(source: FrameSource, frames: int) -> MapFile:
    """Return the map of a source that has `frames` good frames under each light."""
    flats, darks = (list(source.frames(light, frames)) for light in (Light.FLAT, Light.DARK))
    format_ = flats[0].format
    first, second, dark = (
        _average([frame.pixels for frame in some], format_) for some in (flats[::2], flats[1::2], darks)
    )
    gain = np.empty_like(dark)
    reliabilities = []
    for plane in colour_planes(format_.pattern):
        black = plane.of(dark).astype(np.float32)
        one, other = plane.of(first) - black, plane.of(second) - black
        halves = _correlation(_gain(one), _gain(other))
        plane.of(gain)[:] = _gain((one + other) / 2)
        reliabilities.append(round(max(0.0, 2 * halves / (1 + halves)), 4))
    header = Header(
        width=format_.width,
        height=format_.height,
        pattern=format_.pattern,
        bits=format_.bits,
        sensor=format_.sensor,
        dark_frames=len(darks),
        flat_frames=len(flats),
        reliability=tuple(reliabilities),
    )
    return MapFile(header, dark.tobytes(), gain.tobytes())


def _average(frames: list[Plane], format_: FrameFormat) -> Plane:
    total = np.sum(frames, axis=0, dtype=np.uint64) << np.uint64(16 - format_.bits)
    return ((total + np.uint64(len(frames) // 2)) // np.uint64(len(frames))).astype("<u2")


def _gain(answer: Plane) -> Plane:
    around = _running_mean(_running_mean(answer).T).T
    with np.errstate(divide="ignore", invalid="ignore"):
        good = np.abs(answer / around - 1) < 0.25
        factor = around / answer * np.float32(GAIN_ONE)
    return np.rint(np.where(good, factor, 0)).astype("<u2")


def _running_mean(field: Plane) -> Plane:
    place = np.arange(len(field))
    reach = np.minimum(_REACH, np.minimum(place, len(field) - 1 - place))
    sums = np.vstack([np.zeros((1, field.shape[1])), np.cumsum(field, axis=0, dtype=np.float64)])
    mean: Plane = (sums[place + reach + 1] - sums[place - reach]) / (2 * reach + 1)[:, None]
    return mean.astype(np.float32)


def _correlation(one: Plane, other: Plane) -> float:
    valid = (one != 0) & (other != 0)
    a, b = _residual(one, valid), _residual(other, valid)
    return float(np.sum(a * b) / np.sqrt(np.sum(a * a) * np.sum(b * b)))


def _residual(gain: Plane, valid: Plane) -> Plane:
    field = (gain.astype(np.float64) - GAIN_ONE) * valid
    for axis in (1, 0):
        counts = np.maximum(valid.sum(axis=axis, keepdims=True), 1)
        field = (field - field.sum(axis=axis, keepdims=True) / counts) * valid
    bound = 5 * field.std()
    return np.clip(field, -bound, bound)
