"""Frames from the Pi's own camera through picamera2, which is imported when a camera is opened and not before.

Raw data at full resolution, gain 1, everything automatic off. The exposure is found once, under the flat light, and
kept for the dark frames: a pixel's dark signal grows with the time it is given.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Any, Final, Self

import numpy as np

from device_agent.nuc_map.frames import (
    Frame,
    FrameFormat,
    Light,
    RawFormat,
    colour_planes,
    frame_format,
    raw_format,
    unpacked,
)
from shared.errors import BirthmarkError

_LEVEL: Final = 0.5
"""Of full scale, for the brightest colour: far from both the noise and the bend near saturation."""
_LEVEL_SLACK: Final = 0.1
_BLACK: Final = 0.06
_EXPOSURE: Final = (100, 10_000, 1_000_000)
"""Microseconds: shortest, first tried, longest. Beyond a second a lamp is too weak to be worth waiting for."""
_STEPS: Final = 8
_SETTLING_FRAMES: Final = 20
_FRAME_SECONDS: Final = 10.0
_PREVIEW: Final = (320, 240)


class PiCamera:
    """A `FrameSource`, and a context manager that lets the camera go."""

    def __init__(self, index: int = 0) -> None:
        """Raises `nuc.camera-missing`, `nuc.camera-failed` or `nuc.camera-format`."""
        try:
            library = importlib.import_module("picamera2")
        except ImportError as error:
            raise BirthmarkError("nuc.camera-missing") from error
        with _translated():
            self._camera: Any = library.Picamera2(index)
        self._exposure: int | None = None
        try:
            with _translated():
                self._raw, self._format = self._configured()
        except BaseException:
            self._camera.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        with _translated():
            self._camera.stop()
            self._camera.close()

    def frames(self, light: Light, count: int) -> Iterator[Frame]:
        if light is Light.FLAT or self._exposure is None:
            self._exposure = self._found_exposure()
        self._expose(self._exposure)
        for _ in range(count):
            yield self._take()[0]

    def _configured(self) -> tuple[RawFormat, FrameFormat]:
        """The largest mode with the most bits, unpacked where the camera can; started."""
        camera = self._camera
        mode = max(camera.sensor_modes, key=lambda each: (each["size"][0] * each["size"][1], each["bit_depth"]))
        configuration = camera.create_still_configuration(
            main={"size": _PREVIEW},  # small: only the raw stream is looked at, and memory is short
            raw={"format": str(mode["unpacked"]), "size": mode["size"]},
            buffer_count=2,
            queue=False,
        )
        camera.configure(configuration)
        given = camera.camera_configuration()["raw"]
        raw = raw_format(str(given["format"]))
        width, height = given["size"]
        model = str(camera.camera_properties.get("Model", ""))
        camera.start()
        return raw, frame_format(width, height, raw.pattern, raw.bits, model)

    def _found_exposure(self) -> int:
        """Microseconds that bring the brightest colour near `_LEVEL`, or as near as the limits let it."""
        shortest, exposure, longest = _EXPOSURE
        for _ in range(_STEPS):
            frame = self._expose(exposure)
            planes = colour_planes(self._format.pattern)
            level = max(float(plane.of(frame.pixels).mean()) for plane in planes) / self._format.white
            if abs(level - _LEVEL) <= _LEVEL_SLACK:
                break
            factor = (_LEVEL - _BLACK) / max(level - _BLACK, 0.01)
            exposure = round(min(max(exposure * min(max(factor, 0.1), 10), shortest), longest))
        return exposure

    def _expose(self, exposure: int) -> Frame:
        """Set the exposure; the first frame taken with it. The camera needs a few frames to follow."""
        with _translated():
            self._camera.set_controls(
                {"AeEnable": False, "AwbEnable": False, "AnalogueGain": 1.0, "ExposureTime": exposure}
            )
        for _ in range(_SETTLING_FRAMES):
            frame, taken_with = self._take()
            if abs(taken_with - exposure) <= max(50, exposure // 20):  # whole lines of the sensor
                return frame
        raise BirthmarkError("nuc.camera-failed", "it does not take the exposure time it is given")

    def _take(self) -> tuple[Frame, int]:
        with _translated():
            request = self._camera.capture_request(wait=_FRAME_SECONDS)
            try:
                rows = np.asarray(request.make_array("raw"))
                exposure = int(request.get_metadata()["ExposureTime"])
            finally:
                request.release()
        return Frame(self._format, unpacked(rows, self._raw, self._format.width)), exposure


@contextmanager
def _translated() -> Iterator[None]:
    """picamera2 raises what it meets: IndexError for no camera, RuntimeError for a busy one, TypeError for a webcam."""
    try:
        yield
    except (RuntimeError, LookupError, ValueError, TypeError, OSError) as error:
        raise BirthmarkError("nuc.camera-failed", type(error).__name__) from error
