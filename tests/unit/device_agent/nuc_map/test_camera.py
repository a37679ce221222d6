"""The camera source with a fake picamera2, because tests have no camera."""

from __future__ import annotations

import sys
from types import SimpleNamespace

import numpy as np
import pytest

from device_agent.nuc_map.calibrate import build, take_darks, take_flats
from device_agent.nuc_map.camera import PiCamera
from device_agent.nuc_map.frames import Light
from shared.errors import BirthmarkError
from tests.harness.picamera2_stand_in import FULL_SCALE_MICROSECONDS, Picamera2


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
