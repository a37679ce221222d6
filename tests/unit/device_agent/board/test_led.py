"""The LED in a directory that looks like /sys/class/leds."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from device_agent.board.led import Pattern, find_led
from virtual.timeouts import TIMEOUT_SECONDS


@pytest.fixture
def leds(tmp_path: Path) -> Path:
    led = tmp_path / "ACT"
    led.mkdir()
    (led / "brightness").write_text("0")
    (led / "trigger").write_text("none [mmc0] timer heartbeat")
    return tmp_path


def shows(led: Path, value: str) -> bool:
    return (led / "brightness").read_text() == value


def eventually(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + TIMEOUT_SECONDS
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def test_waiting_and_working_blink_and_the_kernel_keeps_out(leds: Path) -> None:
    led = find_led(leds)
    for pattern in (Pattern.WAITING, Pattern.WORKING, Pattern.FAILED):
        led.show(pattern)
        for value in ("1", "0"):
            eventually(partial(shows, leds / "ACT", value))
        assert (leds / "ACT/trigger").read_text() == "none"
    led.close()


def test_done_is_a_steady_light_that_stays_when_the_program_ends(leds: Path) -> None:
    led = find_led(leds)
    led.show(Pattern.WORKING)
    led.show(Pattern.DONE)
    led.close()
    assert (leds / "ACT/brightness").read_text() == "1"


def test_an_led_that_did_not_show_done_gets_its_trigger_back(leds: Path) -> None:
    led = find_led(leds)
    led.show(Pattern.FAILED)
    led.close()
    led.close()
    assert (leds / "ACT/trigger").read_text() == "mmc0"


def test_who_takes_the_led_has_it_until_he_closes_it_and_then_the_other_goes_on(leds: Path) -> None:
    waiting, guide = find_led(leds), find_led(leds)
    waiting.show(Pattern.WORKING)
    eventually(partial(shows, leds / "ACT", "1"))
    guide.take()
    guide.show(Pattern.DONE)
    eventually(partial(shows, leds / "ACT", "1"))
    for _ in range(50):
        assert shows(leds / "ACT", "1"), "the other would have blinked"
        time.sleep(0.01)
    guide.close()
    for value in ("0", "1"):
        eventually(partial(shows, leds / "ACT", value))
    waiting.close()


def test_a_board_without_the_led_or_without_permission_is_no_error(tmp_path: Path, leds: Path) -> None:
    none = find_led(tmp_path / "none")
    none.show(Pattern.WAITING)
    none.close()
    led = find_led(leds)
    (leds / "ACT/brightness").unlink()
    (leds / "ACT/trigger").unlink()
    (leds / "ACT").rmdir()
    led.show(Pattern.WAITING)
    led.show(Pattern.DONE)
    led.close()
    assert not (leds / "ACT").exists()
