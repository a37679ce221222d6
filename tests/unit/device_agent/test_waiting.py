"""An agent that hears no station says where to look, once, and goes on waiting. The clock is the test's."""

from __future__ import annotations

import socket
import time
from pathlib import Path
from unittest.mock import Mock

import pytest

from device_agent.board.display import Display
from device_agent.board.led import find_led
from device_agent.session.conversation import converse
from shared import limits
from shared.errors import BirthmarkError


class EmptyLine:
    """On which nobody speaks; each read takes as long as it may."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1000.0
        monkeypatch.setattr(time, "monotonic", lambda: self.now)

    def read(self, seconds: float) -> bytes:
        self.now += seconds
        return b""

    def write(self, data: bytes, seconds: float) -> None:
        raise AssertionError("nobody was there to write to")


def told(monkeypatch: pytest.MonkeyPatch, wait_seconds: float) -> list[tuple[float, int, str]]:
    line = EmptyLine(monkeypatch)
    began, said = line.now, []
    with pytest.raises(BirthmarkError) as caught:
        converse(
            line, Mock(), lambda step, text: said.append((line.now - began, step, text)), wait_seconds=wait_seconds
        )
    assert caught.value.code == "link.no-station"
    return said


def test_after_ten_seconds_without_a_greeting_it_says_where_to_look_and_only_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (_, _, first), (at, step, hint) = told(monkeypatch, 3600)
    assert first == "Waiting for a station"
    assert 10 < at < 11
    assert step == 0
    assert hint.startswith("Waiting for a station; none in 10 s. See that the station runs")
    assert "gadget status" in hint
    assert len(told(monkeypatch, 9)) == 1


def test_systemctl_status_shows_the_whole_hint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _, (_, step, hint) = told(monkeypatch, 20)
    monkeypatch.undo()
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.settimeout(20)
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        Display(find_led(tmp_path)).progress(step, hint)
        status = manager.recv(4096).decode().partition("STATUS=")[2]
    assert status == hint
    assert len(hint) <= limits.TEXT_CHARACTERS
