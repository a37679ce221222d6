"""Takes frames from the Pi's camera through picamera2, which is imported only when a camera is opened.

Frames are raw, at full resolution, with gain 1 and all automatic control off. The exposure time is chosen once, under
the flat light, and kept for the dark frames, because a pixel's dark signal grows with the exposure time.
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
from device_agent.nuc_map.quality import BLACK
from shared.errors import BirthmarkError

_LEVEL: Final = 0.5
"""Target level of the brightest colour, of full scale: far from noise and from saturation."""
_LEVEL_SLACK: Final = 0.1
_EXPOSURE: Final = (100, 10_000, 1_000_000)
"""Microseconds: shortest, first tried, longest. A lamp that needs more than a second is too weak."""
_STEPS: Final = 8
_SETTLING_FRAMES: Final = 20
_FRAME_SECONDS: Final = 10.0
_PREVIEW: Final = (320, 240)


class PiCamera:
    """A `FrameSource`, and a context manager that closes the camera."""

    def __init__(self, index: int = 0) -> None:
        """Raises `nuc.camera-missing`, `nuc.camera-failed` or `nuc.camera-format`."""
        try:
            library = importlib.import_module("picamera2")
        except ImportError as error:
            raise BirthmarkError("nuc.camera-missing") from error
        with _translate_errors():
            self._camera: Any = library.Picamera2(index)
        self._exposure: int | None = None
        try:
            with _translate_errors():
                self._raw, self._format = self._configure()
        except BaseException:
            self._camera.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        with _translate_errors():
            try:
                self._camera.stop()
            finally:
                self._camera.close()

    def frames(self, light: Light, count: int) -> Iterator[Frame]:
        if light is Light.FLAT or self._exposure is None:
            self._exposure = self._find_exposure()
        self._set_exposure(self._exposure)
        for _ in range(count):
            yield self._capture_frame()[0]

    def _configure(self) -> tuple[RawFormat, FrameFormat]:
        """Configure the largest mode with the most bits, unpacked where possible, and start the camera."""
        camera = self._camera
        mode = max(camera.sensor_modes, key=lambda each: (each["size"][0] * each["size"][1], each["bit_depth"]))
        configuration = camera.create_still_configuration(
            main={"size": _PREVIEW},  # small: only the raw stream is used, and memory is short
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

    def _find_exposure(self) -> int:
        """Return the microseconds that bring the brightest colour to `_LEVEL`, or as near as the limits allow."""
        shortest, first, longest = _EXPOSURE
        exposure = self._exposure or first
        for _ in range(_STEPS):
            frame = self._set_exposure(exposure)
            planes = colour_planes(self._format.pattern)
            level = max(float(plane.of(frame.pixels).mean()) for plane in planes) / self._format.white
            del frame
            if abs(level - _LEVEL) <= _LEVEL_SLACK:
                break
            factor = (_LEVEL - BLACK) / max(level - BLACK, 0.01)
            better = round(min(max(exposure * min(max(factor, 0.1), 10), shortest), longest))
            if better == exposure:
                break
            exposure = better
        return exposure

    def _set_exposure(self, exposure: int) -> Frame:
        """Set the exposure and return the first frame taken with it. The camera needs a few frames to apply it."""
        with _translate_errors():
            self._camera.set_controls(
                {"AeEnable": False, "AwbEnable": False, "AnalogueGain": 1.0, "ExposureTime": exposure}
            )
        for _ in range(_SETTLING_FRAMES):
            frame, taken_with = self._capture_frame()
            if abs(taken_with - exposure) <= max(50, exposure // 20):  # the sensor rounds to whole lines
                return frame
            del frame  # frees it before the next is taken
        raise BirthmarkError("nuc.camera-failed", "it does not take the exposure time it is given")

    def _capture_frame(self) -> tuple[Frame, int]:
        with _translate_errors():
            request = self._camera.capture_request(wait=_FRAME_SECONDS)
            try:
                rows = np.asarray(request.make_array("raw"))  # a copy: it outlives the request
                exposure = int(request.get_metadata()["ExposureTime"])
            finally:
                request.release()
        return Frame(self._format, unpacked(rows, self._raw, self._format.width)), exposure


@contextmanager
def _translate_errors() -> Iterator[None]:
    """picamera2 raises IndexError for no camera, RuntimeError for a busy one, TypeError for a webcam."""
    try:
        yield
    except (RuntimeError, LookupError, ValueError, TypeError, OSError) as error:
        raise BirthmarkError("nuc.camera-failed", type(error).__name__) from error
