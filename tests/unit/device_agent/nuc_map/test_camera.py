"""The camera source with a fake picamera2 that keeps its rules, because tests have no camera.

The fake behaves as picamera2 0.3: buffers of bytes with padding, controls that take effect some frames later, metadata
with the real exposure of a frame.
"""

from __future__ import annotations

import sys
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from device_agent.nuc_map.calibrate import build, take_darks, take_flats
from device_agent.nuc_map.camera import PiCamera
from device_agent.nuc_map.frames import Frame, Light
from device_agent.nuc_map.sensor import Occasion, SimulatedSensor
from shared.errors import BirthmarkError

WIDTH, HEIGHT = 128, 96
DELAY = 3  # frames until a control takes effect
FULL_SCALE_MICROSECONDS = 60_000


class Picamera2:
    """One camera, whose light reaches full scale at `FULL_SCALE_MICROSECONDS`."""

    raw_format = "SBGGR12"
    obeys = True

    def __init__(self, index: int) -> None:
        if index:
            raise IndexError("list index out of range")
        self.state: list[str] = []
        self.covered = False
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


@pytest.fixture(params=["SBGGR12", "SBGGR12_CSI2P"])
def library(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> type[Picamera2]:
    class Installed(Picamera2):
        raw_format = request.param

    monkeypatch.setitem(sys.modules, "picamera2", SimpleNamespace(Picamera2=Installed))
    return Installed


@pytest.mark.usefixtures("library")
def test_a_camera_finds_its_exposure_in_the_light_and_keeps_it_in_the_dark() -> None:
    with PiCamera() as camera:
        device = camera._camera
        flats = take_flats(camera, 16)
        found = device.exposures[-1]
        assert 0.4 <= (found / FULL_SCALE_MICROSECONDS) <= 0.7
        device.covered = True
        darks = take_darks(camera, 16)
        assert set(device.exposures[-16:]) == {found}
    nuc_map = build(flats, darks)
    assert (nuc_map.header.sensor, nuc_map.header.bits, nuc_map.header.pattern) == ("imx477", 12, "BGGR")
    assert device.state == ["configured", "started", "stopped", "closed"]


def test_packed_and_unpacked_frames_are_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    taken = []
    for name in ("SBGGR12", "SBGGR12_CSI2P"):
        monkeypatch.setitem(sys.modules, "picamera2", SimpleNamespace(Picamera2=Picamera2))
        monkeypatch.setattr(Picamera2, "raw_format", name)
        with PiCamera() as camera:
            taken.append([frame.pixels for frame in camera.frames(Light.FLAT, 2)])
    assert np.array_equal(taken[0], taken[1])


def test_no_picamera2_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "picamera2", None)
    with pytest.raises(BirthmarkError) as caught:
        PiCamera()
    assert caught.value.code == "nuc.camera-missing"


@pytest.mark.usefixtures("library")
def test_no_camera_is_named() -> None:
    with pytest.raises(BirthmarkError) as caught:
        PiCamera(1)
    assert caught.value.code == "nuc.camera-failed"


def test_a_lossy_format_is_refused_and_the_camera_let_go(
    library: type[Picamera2], monkeypatch: pytest.MonkeyPatch
) -> None:
    closed = []
    monkeypatch.setattr(library, "raw_format", "BGGR_PISP_COMP1")
    monkeypatch.setattr(library, "close", lambda self: closed.append(self))
    with pytest.raises(BirthmarkError) as caught:
        PiCamera()
    assert caught.value.code == "nuc.camera-format"
    assert closed


def test_a_camera_that_does_not_take_an_exposure_is_named(
    library: type[Picamera2], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(library, "obeys", False)
    with PiCamera() as camera, pytest.raises(BirthmarkError) as caught:
        take_flats(camera, 8)
    assert caught.value.code == "nuc.camera-failed"


def test_a_camera_that_hangs_is_named(library: type[Picamera2], monkeypatch: pytest.MonkeyPatch) -> None:
    def hang(self: Picamera2, wait: float) -> None:
        raise TimeoutError

    with PiCamera() as camera:
        monkeypatch.setattr(library, "capture_request", hang)
        with pytest.raises(BirthmarkError) as caught:
            take_flats(camera, 8)
    assert caught.value.code == "nuc.camera-failed"


def test_a_camera_that_cannot_be_stopped_is_closed_all_the_same(
    library: type[Picamera2], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(self: Picamera2) -> None:
        raise RuntimeError("no answer")

    monkeypatch.setattr(library, "stop", fail)
    camera = PiCamera()
    with pytest.raises(BirthmarkError) as caught, camera:
        pass
    assert caught.value.code == "nuc.camera-failed"
    assert camera._camera.state == ["configured", "started", "closed"]
