"""A fake picamera2 that keeps its rules, because tests have no camera.

It behaves as picamera2 0.3: buffers of bytes with padding, controls that take effect some frames later, metadata with
the real exposure of a frame.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np

from device_agent.nuc_map.frames import Frame, Light
from device_agent.nuc_map.sensor import Occasion, SimulatedSensor

WIDTH, HEIGHT = 128, 96
DELAY = 3  # frames until a control takes effect
FULL_SCALE_MICROSECONDS = 60_000


class Picamera2:
    """One camera, whose light reaches full scale at `FULL_SCALE_MICROSECONDS`."""

    raw_format = "SBGGR12"
    obeys = True
    covered = False

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
        level = 0.0 if self.covered else self._exposure / FULL_SCALE_MICROSECONDS
        self.exposures.append(self._exposure)
        light = Light.DARK if self.covered else Light.FLAT
        (frame,) = SimulatedSensor(1, Occasion(self._taken, level), WIDTH, HEIGHT).frames(light, 1)
        return SimpleNamespace(
            make_array=lambda name: self._buffer(frame, name),
            get_metadata=lambda: {"ExposureTime": self._exposure + 7},
            release=lambda: None,
        )

    def _buffer(self, frame: Frame, name: str) -> np.ndarray:
        assert name == "raw"
        if self.raw_format == "SBGGR12":
            data = frame.pixels.astype("<u2").view(np.uint8)
        else:
            high, low = (frame.pixels >> 4).astype(np.uint8), (frame.pixels & 15).astype(np.uint8)
            groups = [high[:, ::2], high[:, 1::2], low[:, ::2] | low[:, 1::2] << 4]
            data = np.stack(groups, axis=2).reshape(HEIGHT, -1)
        return np.pad(data, ((0, 0), (0, 64)), constant_values=0xAA)
