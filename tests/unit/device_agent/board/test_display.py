"""The texts for `systemctl status` and the LED's pattern, read at the other end of a real socket and file."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from device_agent.board.display import Display
from device_agent.board.led import Pattern, find_led
from shared.errors import BirthmarkError
from virtual.timeouts import TIMEOUT_SECONDS


@pytest.fixture
def manager(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(str(tmp_path / "notify"))
        listening.settimeout(TIMEOUT_SECONDS)
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        yield listening


def test_waiting_and_each_step_are_reported_and_mean_ready(
    manager: socket.socket, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    display = Display(find_led(tmp_path))
    display.progress(0, "Waiting for a station")
    assert manager.recv(4096) == b"READY=1\nSTATUS=Waiting for a station"
    display.progress(4, "Proven")
    assert manager.recv(4096) == b"READY=1\nSTATUS=Step 4 of 6: Proven"
    assert capsys.readouterr().err == "step 0 of 6: Waiting for a station\nstep 4 of 6: Proven\n"


def test_a_failed_session_is_reported_and_the_agent_is_ready_nevertheless(
    manager: socket.socket, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Display(find_led(tmp_path)).failed(BirthmarkError("trust.not-a-station"))
    said = manager.recv(4096)
    assert said.startswith(b"READY=1\nSTATUS=")
    assert said.endswith(b"[trust.not-a-station]")
    assert "[trust.not-a-station]" in capsys.readouterr().err


def test_what_a_unit_waits_for_stays_shown_while_it_also_waits_for_a_station(
    manager: socket.socket, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shown: list[Pattern] = []
    led = find_led(tmp_path)
    led.show = shown.append  # type: ignore[method-assign,assignment]
    display = Display(led)
    display.lacking(BirthmarkError("nuc.map-missing"))
    said = manager.recv(4096)
    assert said.startswith(b"READY=1\nSTATUS=Waiting for the NUC map: there is no NUC map")
    assert b"nuc capture --guided" in said
    display.waiting_for(BirthmarkError("tpm.no-device"))
    assert b"there is no TPM" in manager.recv(4096)
    display.progress(0, "Waiting for a station")
    assert manager.recv(4096) == said
    display.lacking(None)
    display.progress(0, "Waiting for a station")
    assert manager.recv(4096) == b"READY=1\nSTATUS=Waiting for a station"
    assert shown == [Pattern.NO_MAP, Pattern.WAITING, Pattern.NO_MAP, Pattern.WAITING]
    assert "The NUC map is here." in capsys.readouterr().err


def test_waiting_for_a_chip_is_reported_and_is_not_ready_yet(
    manager: socket.socket, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Display(find_led(tmp_path)).waiting_for(BirthmarkError("tpm.no-device"))
    said = manager.recv(4096)
    assert said.startswith(b"STATUS=there is no TPM. ")
    assert said.endswith(b"[tpm.no-device]")
    assert capsys.readouterr().err.endswith("[tpm.no-device] Looking again.\n")


def test_an_agent_that_ends_before_its_first_word_was_never_ready(manager: socket.socket, tmp_path: Path) -> None:
    Display(find_led(tmp_path)).ended(BirthmarkError("nuc.map-missing"))
    assert b"READY" not in manager.recv(4096)
