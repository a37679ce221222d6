"""A fake picamera2 that keeps its rules, because tests have no camera.

It behaves as picamera2 0.3: buffers of bytes with padding, controls that take effect some frames later, metadata with
the real exposure of a frame.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from device_agent.nuc_map.frames import Frame, Light
from device_agent.nuc_map.sensor import Occasion, SimulatedSensor

WIDTH, HEIGHT = 128, 96
DELAY = 3  # frames until a control takes effect
FULL_SCALE_MICROSECONDS = 60_000


class Picamera2:
    """One camera, whose even light reaches full scale at `FULL_SCALE_MICROSECONDS`."""

    raw_format = "SBGGR12"
    obeys = True
    covered = False
    scenes: Mapping[str, float] = {"even": 1.0, "window": 1.0, "dim": 0.0005, "glaring": 5000.0, "covered": 0.0}
    """The brightness of what may be before the camera."""

    def __init__(self, index: int) -> None:
        if index:
            raise IndexError("list index out of range")
        self.state: list[str] = []
        self.exposures: list[int] = []
        self._exposure = 20_000
        self._pending: list[tuple[int, int]] = []
        self._taken = 0
        self.camera_properties = {"Model": "imx477"}
        modes = (((64, 48), 12), ((WIDTH, HEIGHT), 10), ((WIDTH, HEIGHT), 12))
        self.sensor_modes = [
            {"size": size, "bit_depth": bits, "unpacked": f"SBGGR{bits}", "format": f"SBGGR{bits}_CSI2P"}
            for size, bits in modes
        ]

    def create_still_configuration(self, **options: Any) -> dict[str, Any]:
        assert options["raw"] == {"format": "SBGGR12", "size": (WIDTH, HEIGHT)}
        return options

    def configure(self, configuration: dict[str, Any]) -> None:
        self.state.append("configured")

    def camera_configuration(self) -> dict[str, Any]:
        return {"raw": {"format": self.raw_format, "size": (WIDTH, HEIGHT), "stride": WIDTH * 2 + 64}}

    def start(self) -> None:
        self.state.append("started")

    def stop(self) -> None:
        self.state.append("stopped")

    def close(self) -> None:
        self.state.append("closed")

    def set_controls(self, controls: dict[str, Any]) -> None:
        assert (controls["AeEnable"], controls["AnalogueGain"]) == (False, 1.0)
        if self.obeys:
            self._pending.append((self._taken + DELAY, controls["ExposureTime"]))

    def capture_request(self, wait: float) -> Any:
        self._taken += 1
        for due, exposure in self._pending:
            if due <= self._taken:
                self._exposure = exposure
        scene = "covered" if self.covered else self.scene()
        level = min(self.scenes[scene] * self._exposure / FULL_SCALE_MICROSECONDS, 16.0)
        self.exposures.append(self._exposure)
        light = Light.FLAT if level else Light.DARK
        (frame,) = SimulatedSensor(1, Occasion(self._taken, level), WIDTH, HEIGHT).frames(light, 1)
        if scene == "window":
            frame.pixels[:, WIDTH // 2 :] //= 2
        return SimpleNamespace(
            make_array=lambda name: self._buffer(frame, name),
            get_metadata=lambda: {"ExposureTime": self._exposure + 7},
            release=lambda: None,
        )

    def scene(self) -> str:
        return "even"

    def _buffer(self, frame: Frame, name: str) -> np.ndarray:
        assert name == "raw"
        if self.raw_format == "SBGGR12":
            data = frame.pixels.astype("<u2").view(np.uint8)
        else:
            high, low = (frame.pixels >> 4).astype(np.uint8), (frame.pixels & 15).astype(np.uint8)
            groups = [high[:, ::2], high[:, 1::2], low[:, ::2] | low[:, 1::2] << 4]
            data = np.stack(groups, axis=2).reshape(HEIGHT, -1)
        return np.pad(data, ((0, 0), (0, 64)), constant_values=0xAA)


class SeenFromAFile(Picamera2):
    """A camera before which is what the file `BIRTHMARK_SCENE` names, for an agent in its own process."""

    def scene(self) -> str:
        return Path(os.environ["BIRTHMARK_SCENE"]).read_text(encoding="ascii")
