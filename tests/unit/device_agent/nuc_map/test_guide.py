"""Somebody is guided through a capture, by what single frames show. Time is the test's."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest

from device_agent.nuc_map import guide
from device_agent.nuc_map.format import MapFile, encode
from device_agent.nuc_map.frames import Frame, Light
from device_agent.nuc_map.sensor import FACTORY, SimulatedSensor
from shared.errors import BirthmarkError
from tests.harness import plain_calibration

WIDTH, HEIGHT, FRAMES = 192, 128, 10
EVEN = SimulatedSensor(1, FACTORY, WIDTH, HEIGHT)


class Scene:
    """A camera before which things change: `acts` says what is there from the n-th frame on."""

    def __init__(self, acts: dict[int, str]) -> None:
        self.acts = acts
        self.frame = 0
        self.now = 0.0
        self.told: list[str] = []

    def frames(self, light: Light, count: int) -> Iterator[Frame]:
        for frame in EVEN.frames(light, count):
            self.now += 0.5
            scene = self.acts[max(at for at in self.acts if at <= self.frame)]
            self.frame += 1
            match scene:
                case "right":
                    yield frame
                case "lit":
                    yield next(EVEN.frames(Light.FLAT, 1))
                case "cap":
                    yield next(EVEN.frames(Light.DARK, 1))
                case "glaring":
                    yield replace(frame, pixels=np.full_like(frame.pixels, 4095))
                case "window":
                    pixels = frame.pixels.copy()
                    pixels[:, 90:110] //= 2
                    yield replace(frame, pixels=pixels)
                case "moving":
                    yield replace(frame, pixels=frame.pixels // np.uint16(1 + self.frame % 2))

    def asks(self, light: Light) -> None:
        self.told.append(f"ask {light.value}")

    def problem(self, light: Light, problem: BirthmarkError) -> None:
        self.told.append(problem.code)

    def takes(self, light: Light) -> None:
        self.told.append(f"take {light.value}")

    def took(self) -> None:
        pass

    def sleep(self, seconds: float) -> None:
        self.now += seconds

    def capture(self) -> MapFile:
        return guide.capture(self, FRAMES, 60.0, self, lambda: self.now, self.sleep)


def test_who_does_as_asked_gets_the_map_that_a_capture_with_keys_makes() -> None:
    scene = Scene({0: "right"})
    nuc_map = scene.capture()
    assert scene.told == ["ask flat", "take flat", "ask dark", "take dark"]
    assert encode(nuc_map) == encode(plain_calibration.captured(EVEN, FRAMES))


@pytest.mark.parametrize(
    ("wrong", "code"),
    [("cap", "nuc.frames-too-dark"), ("glaring", "nuc.frames-saturated"), ("window", "nuc.frames-uneven")],
)
def test_what_is_wrong_with_the_light_is_said_once_and_mended_by_changing_it(wrong: str, code: str) -> None:
    scene = Scene({0: wrong, 20: "right"})
    scene.capture()
    assert scene.told == ["ask flat", code, "take flat", "ask dark", "take dark"]


def test_a_hand_that_still_moves_is_waited_for() -> None:
    scene = Scene({0: "moving", 30: "right"})
    scene.capture()
    assert scene.told[:2] == ["ask flat", "take flat"]
    assert scene.frame > 30


def test_the_lens_is_noticed_to_be_covered_and_who_is_slow_is_reminded() -> None:
    for slow, told in ((5, []), (40, ["nuc.dark-not-dark"])):
        begin = 2 + FRAMES
        scene = Scene({0: "right", begin: "lit", begin + slow: "right"})
        scene.capture()
        assert scene.told == ["ask flat", "take flat", "ask dark", *told, "take dark"]


def test_light_that_changes_while_frames_are_taken_is_asked_for_again() -> None:
    scene = Scene({0: "right", 6: "glaring", 20: "right"})
    scene.capture()
    assert scene.told[:3] == ["ask flat", "take flat", "ask flat"]
    assert scene.told[-3:] == ["take flat", "ask dark", "take dark"]


@pytest.mark.parametrize(
    ("acts", "code", "why"),
    [
        ({0: "cap"}, "nuc.no-even-light", "too dark"),
        ({0: "moving"}, "nuc.no-even-light", "not all of one exposure"),
        ({0: "right", 2 + FRAMES: "lit"}, "nuc.lens-not-covered", "not dark"),
    ],
)
def test_nobody_is_waited_for_for_ever(acts: dict[int, str], code: str, why: str) -> None:
    scene = Scene(acts)
    with pytest.raises(BirthmarkError) as caught:
        scene.capture()
    assert (caught.value.code, caught.value.kind.retry) == (code, True)
    assert why in caught.value.detail
    assert 60 < scene.now < 90


def test_an_error_that_no_hand_mends_ends_it() -> None:
    class Broken(Scene):
        def frames(self, light: Light, count: int) -> Iterator[Frame]:
            raise BirthmarkError("nuc.camera-failed")

    with pytest.raises(BirthmarkError, match=r"nuc.camera-failed"):
        Broken({0: "right"}).capture()
