"""Every kind of bad frame has its error, and merely imperfect frames are accepted."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from device_agent.nuc_map.calibrate import build, take_darks, take_flats
from device_agent.nuc_map.frames import Frame, FrameSource, Light, frame_format
from device_agent.nuc_map.sensor import FACTORY, Occasion, SimulatedSensor
from shared.errors import BirthmarkError

WIDTH, HEIGHT = 256, 192
Change = Callable[[Light, int, Frame], Frame]
Values = NDArray[np.float64]


class Changed:
    """A sensor whose frames are changed."""

    def __init__(self, change: Change, occasion: Occasion = FACTORY) -> None:
        self._sensor = SimulatedSensor(1, occasion, WIDTH, HEIGHT)
        self._change = change

    def frames(self, light: Light, count: int) -> Iterator[Frame]:
        for number, frame in enumerate(self._sensor.frames(light, count)):
            yield self._change(light, number, frame)


def capture(source: FrameSource, flats: int = 16, darks: int = 16) -> None:
    build(take_flats(source, flats), take_darks(source, darks))


def refusal(source: FrameSource, flats: int = 16, darks: int = 16) -> BirthmarkError:
    with pytest.raises(BirthmarkError) as caught:
        capture(source, flats, darks)
    return caught.value


def lit(
    *,
    level: float = FACTORY.level,
    shading: float = FACTORY.shading,
    slant: float = FACTORY.slant,
    temperature: float = FACTORY.temperature,
) -> SimulatedSensor:
    occasion = replace(FACTORY, level=level, shading=shading, slant=slant, temperature=temperature)
    return SimulatedSensor(1, occasion, WIDTH, HEIGHT)


def only(light: Light, change: Callable[[Values], Values], number: int | None = None) -> Changed:
    def applied(seen: Light, count: int, frame: Frame) -> Frame:
        if seen is not light or number not in (None, count):
            return frame
        changed = np.clip(change(frame.pixels.astype(np.float64)), 0, 4095)
        return replace(frame, pixels=changed.astype(np.uint16))

    return Changed(applied)


def scene(pixels: Values) -> Values:
    """Make a scene: a window and its bars, out of focus, without a sharp edge."""
    x = np.arange(WIDTH, dtype=np.float64)
    bars: Values = 1 + 0.08 * np.tanh(8 * np.sin(x / 25))
    return 256 + (pixels - 256) * bars


@pytest.mark.parametrize(
    "source",
    [
        lit(),
        pytest.param(lit(shading=0.6, slant=0.3), id="a wide lens and light from one side"),
        pytest.param(lit(level=0.85, shading=0.1), id="bright"),
        pytest.param(lit(temperature=60), id="hot"),
        pytest.param(only(Light.FLAT, lambda pixels: pixels * 1.01, 3), id="a flicker"),
    ],
)
def test_imperfect_frames_are_taken(source: FrameSource) -> None:
    capture(source)


@pytest.mark.parametrize(
    ("source", "code"),
    [
        pytest.param(lit(level=1.2), "nuc.frames-saturated", id="too bright"),
        pytest.param(lit(level=0.05), "nuc.frames-too-dark", id="too dark"),
        pytest.param(lit(level=0.0), "nuc.frames-too-dark", id="the cap left on"),
        pytest.param(only(Light.FLAT, scene), "nuc.frames-uneven", id="a lens on, and a scene before it"),
        pytest.param(lit(shading=0.95, slant=0), "nuc.frames-uneven", id="a spot of light"),
        pytest.param(only(Light.DARK, lambda pixels: pixels + 400), "nuc.dark-not-dark", id="light in the dark"),
        pytest.param(only(Light.FLAT, lambda pixels: pixels * 0.8, 5), "nuc.frames-mixed", id="another exposure"),
        pytest.param(only(Light.DARK, lambda pixels: pixels + 120, 5), "nuc.frames-mixed", id="another dark exposure"),
    ],
)
def test_bad_light_is_named(source: FrameSource, code: str) -> None:
    assert refusal(source).code == code


@pytest.mark.parametrize(("flats", "darks"), [(7, 16), (16, 7), (1, 1)])
def test_too_few_frames_are_named(flats: int, darks: int) -> None:
    assert refusal(lit(), flats, darks).code == "nuc.frames-too-few"


def test_no_frames_at_all_are_too_few() -> None:
    class Empty:
        def frames(self, light: Light, count: int) -> Iterator[Frame]:
            return iter(())

    assert refusal(Empty()).code == "nuc.frames-too-few"


def test_noise_that_hides_the_sensor_is_named_with_the_frames_it_takes() -> None:
    dim = lit(level=0.2)
    refused = refusal(dim, 8)
    assert refused.code == "nuc.frames-noisy"
    enough = int(refused.detail.split("about ")[1].split()[0])
    assert 8 < enough < 200
    capture(dim, enough)


def test_frames_that_show_nothing_of_a_sensor_are_named() -> None:
    made = frame_format(WIDTH, HEIGHT, "BGGR", 12, "")
    rng = np.random.default_rng(1)

    class NoSensor:
        def frames(self, light: Light, count: int) -> Iterator[Frame]:
            for _ in range(count):
                level = 256 if light is Light.DARK else 2000
                yield Frame(made, rng.normal(level, 20, (HEIGHT, WIDTH)).astype(np.uint16))

    assert refusal(NoSensor()).code == "nuc.frames-noisy"


def test_a_copy_of_an_earlier_frame_is_named() -> None:
    kept: list[Frame] = []

    def repeat(_: Light, number: int, frame: Frame) -> Frame:
        kept.append(frame)
        return kept[2] if number == 9 else frame

    refused = refusal(Changed(repeat))
    assert refused.code == "nuc.frames-repeated"
    assert refused.detail == "flat frame 10"


@pytest.mark.parametrize(
    "change",
    [
        lambda frame: replace(frame, format=replace(frame.format, bits=10)),
        lambda frame: replace(frame, format=replace(frame.format, pattern="RGGB")),
        lambda frame: replace(frame, format=replace(frame.format, sensor="imx219")),
        lambda frame: replace(frame, pixels=frame.pixels[:-2]),
        lambda frame: replace(frame, pixels=frame.pixels + np.uint16(4096)),
    ],
    ids=["bits", "pattern", "sensor", "size", "values above white"],
)
def test_a_frame_unlike_the_others_is_named(change: Callable[[Frame], Frame]) -> None:
    refused = refusal(Changed(lambda _, number, frame: change(frame) if number == 4 else frame))
    assert refused.code == "nuc.frames-wrong-shape"
    assert "flat frame 5" in refused.detail
