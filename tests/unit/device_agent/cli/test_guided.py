"""The words, the lines of JSON and the LED of a guided capture, and how long the end is shown."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from device_agent.board.led import Led, Pattern
from device_agent.cli.guided import SHOWN_SECONDS, GuidedWords
from device_agent.nuc_map.frames import Light
from shared.errors import BirthmarkError


class SeenLed(Led):
    def __init__(self, path: Path | None = None) -> None:
        super().__init__(path)
        self.shown: list[Pattern] = []

    def show(self, pattern: Pattern) -> None:
        self.shown.append(pattern)


def test_a_person_reads_what_is_wrong_and_what_to_do(capsys: pytest.CaptureFixture[str]) -> None:
    led = SeenLed()
    words = GuidedWords(led, 1, 60.0, as_json=False)
    words.asks(Light.FLAT)
    words.problem(Light.FLAT, BirthmarkError("nuc.frames-saturated", "9.0% of the pixels of flat frame 1"))
    words.takes(Light.FLAT)
    words.took()
    words.asks(Light.DARK)
    words.failed(BirthmarkError("nuc.lens-not-covered"))
    out, err = capsys.readouterr()
    assert out == ""
    assert "Not yet: the flat frames are saturated: 9.0% of the pixels of flat frame 1. Let in less light" in err
    assert err.splitlines()[-1].startswith("Now cover the lens"), "the command prints the error"
    assert led.shown == [Pattern.LIGHT, Pattern.WORKING, Pattern.COVER, Pattern.FAILED]


def test_a_program_reads_one_line_for_each_step(capsys: pytest.CaptureFixture[str]) -> None:
    words = GuidedWords(SeenLed(), 8, 60.0, as_json=True)
    words.asks(Light.DARK)
    words.problem(Light.DARK, BirthmarkError("nuc.dark-not-dark"))
    words.failed(BirthmarkError("nuc.lens-not-covered"))
    out, err = capsys.readouterr()
    ask, problem, failed = (json.loads(line) for line in out.splitlines())
    assert (ask["event"], ask["light"], ask["seconds"]) == ("ask", "dark", 60.0)
    assert (problem["event"], problem["code"]) == ("problem", "nuc.dark-not-dark")
    assert problem["advice"] in problem["text"]
    assert (failed["event"], failed["code"]) == ("failed", "nuc.lens-not-covered")
    assert err == ""


def test_the_end_stays_on_the_led_for_a_moment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    slept: list[float] = []
    monkeypatch.setattr(time, "sleep", slept.append)
    for path in (None, tmp_path):
        GuidedWords(SeenLed(path), 8, 60.0, as_json=True).failed(BirthmarkError("nuc.no-even-light"))
    assert slept == [SHOWN_SECONDS]
