"""Session after session on one port: what is retried, what is reported, and what ends the agent. Tests do not wait."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Literal, TypeAlias, cast
from unittest.mock import Mock

import pytest

from device_agent.session import service
from device_agent.session.agent import Agent
from device_agent.session.service import Timeouts, serve, serve_once
from device_agent.storage.identity import Identity
from shared.errors import BirthmarkError, ErrorCode

PORT = Path("/dev/no-port")
End: TypeAlias = ErrorCode | Literal[""]
IDENTITY = cast("Identity", object())


class StoppedError(Exception):
    """The test has seen enough."""


class ScriptedSessions:
    """Sessions that end one after the other as the test says; the last ends the agent."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.ends: list[End] = []
        self.said: list[str] = []
        self.failures: list[str] = []
        self.pauses: list[float] = []
        self.waits: list[tuple[float | None, float]] = []
        self.links: list[Mock] = []
        self.agent = Mock(spec=Agent)
        monkeypatch.setattr(time, "sleep", self.pauses.append)
        monkeypatch.setattr(service, "Link", self._open)
        monkeypatch.setattr(service, "converse", self._converse)

    def _open(self, path: Path) -> Mock:
        assert path == PORT
        if self.ends and self.ends[0] == "link.no-port":
            self.ends.pop(0)
            raise BirthmarkError("link.no-port")
        link = Mock()
        link.read.side_effect = [b"a Hello", BirthmarkError("link.lost")]
        self.links.append(link)
        return link

    def _converse(
        self, link: Mock, *_: object, wait_seconds: float | None, step_seconds: float, readiness: object
    ) -> Identity:
        assert readiness is self.agent
        self.waits.append((wait_seconds, step_seconds))
        if not self.ends:
            raise StoppedError
        if end := self.ends.pop(0):
            raise BirthmarkError(end)
        return IDENTITY

    def once(self, *ends: End) -> Identity:
        self.ends = list(ends)
        return serve_once(PORT, self.agent, self._progress, Timeouts(5.0, 7.0))

    def run(self, *ends: End, until_provisioned: bool = False) -> Identity:
        self.ends = list(ends)
        return serve(
            PORT,
            self.agent,
            self._progress,
            lambda error: self.failures.append(error.code),
            Timeouts(),
            until_provisioned=until_provisioned,
        )

    def _progress(self, step: int, text: str) -> None:
        assert step == 0
        self.said.append(text)


@pytest.fixture
def sessions(monkeypatch: pytest.MonkeyPatch) -> ScriptedSessions:
    return ScriptedSessions(monkeypatch)


def code(action: Callable[[], object]) -> str:
    with pytest.raises(BirthmarkError) as caught:
        action()
    return caught.value.code


def test_one_session_gives_its_identity_and_closes_the_port(sessions: ScriptedSessions) -> None:
    assert sessions.once("") is IDENTITY
    assert sessions.waits == [(5.0, 7.0)]
    assert [name for name, *_ in sessions.agent.method_calls] == ["prepare", "provisioned"]
    sessions.links[0].close.assert_called_once()


def test_one_session_that_fails_is_an_error_of_which_the_agent_hears(sessions: ScriptedSessions) -> None:
    assert code(lambda: sessions.once("link.silent")) == "link.silent"
    [error] = sessions.agent.failed.call_args.args
    assert error.code == "link.silent"
    assert not sessions.agent.provisioned.called
    sessions.links[0].close.assert_called_once()


def test_a_unit_is_prepared_before_the_port_is_opened(sessions: ScriptedSessions) -> None:
    sessions.agent.prepare.side_effect = BirthmarkError("tpm.no-device")
    assert code(lambda: sessions.once("")) == "tpm.no-device"
    assert sessions.links == []


def test_sessions_are_held_until_one_goes_well(sessions: ScriptedSessions) -> None:
    assert sessions.run("trust.station-untrusted", "session.refused", "", until_provisioned=True) is IDENTITY
    assert sessions.failures == ["trust.station-untrusted", "session.refused"]


def test_after_a_session_that_went_well_the_next_waits_until_the_cable_was_pulled(sessions: ScriptedSessions) -> None:
    with pytest.raises(StoppedError):
        sessions.run("", "")
    assert len(sessions.waits) == 3
    assert [link.read.call_count for link in sessions.links] == [2, 2, 0]
    assert sessions.failures == []


@pytest.mark.parametrize("end", ["nuc.map-missing", "tpm.not-this-one", "identity.damaged", "link.permission"])
def test_an_error_that_no_further_session_can_mend_ends_the_agent(sessions: ScriptedSessions, end: ErrorCode) -> None:
    assert code(lambda: sessions.run(end, "")) == end
    assert sessions.failures == []


def test_a_missing_port_is_reported_once_however_long_it_is_missing(sessions: ScriptedSessions) -> None:
    with pytest.raises(StoppedError):
        sessions.run("link.no-port", "link.no-port", "link.no-port", "link.busy")
    assert [text.partition(".")[0] for text in sessions.said] == [
        "there is no such serial port",
        "the serial port is in use by another program",
    ]
    assert sessions.failures == []


def test_a_port_that_is_lost_again_is_reported_again(sessions: ScriptedSessions) -> None:
    with pytest.raises(StoppedError):
        sessions.run("link.no-port", "", "link.no-port")
    assert [text.startswith("there is no such serial port") for text in sessions.said] == [True, False, True]


def test_the_pause_after_failures_doubles_up_to_a_minute_and_a_success_ends_that(sessions: ScriptedSessions) -> None:
    eight: list[End] = ["session.internal"] * 8
    with pytest.raises(StoppedError):
        sessions.run(*eight)
    assert sessions.pauses == [1, 2, 4, 8, 16, 32, 60, 60]
    sessions.pauses.clear()
    with pytest.raises(StoppedError):
        sessions.run("session.internal", "session.internal", "", "session.internal")
    assert [seconds for seconds in sessions.pauses if seconds >= 1] == [1, 2, 1]
