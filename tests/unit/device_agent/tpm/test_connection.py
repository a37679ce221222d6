"""Every command to a TPM is bounded in time, is repeated where that helps, and fails with one of our errors."""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from unittest.mock import Mock

import pytest
from tpm2_pytss import ESAPI, ESYS_TR, TPM2B_SENSITIVE_CREATE, TSS2_Exception

from device_agent.tpm import Simulator, connection, templates
from device_agent.tpm.connection import Connection, handles
from shared.errors import BirthmarkError

TRANSIENT = 0x80000000


@pytest.fixture
def tpm(simulator: Simulator) -> Iterator[Connection]:
    tpm = Connection(simulator.tcti)
    yield tpm
    tpm.close()


def code(action: Callable[[], object]) -> str:
    with pytest.raises(BirthmarkError) as caught:
        action()
    return caught.value.code


class Failing:
    """A command that fails with each of `codes`, one after another, and then succeeds."""

    def __init__(self, *codes: int) -> None:
        self.codes = list(codes)
        self.sent = 0

    def __call__(self, _esapi: ESAPI) -> str:
        self.sent += 1
        if self.codes:
            raise TSS2_Exception(self.codes.pop(0))
        return "done"


# --- opening ---


def test_no_device(tmp_path: Path) -> None:
    assert code(lambda: Connection(f"device:{tmp_path}/tpmrm0")) == "tpm.no-device"


def test_a_name_that_is_none() -> None:
    assert code(lambda: Connection("no-such-tcti:x")) == "tpm.name-unknown"


@pytest.mark.parametrize(
    ("reason", "expected"),
    [
        (errno.ENOENT, "tpm.no-device"),
        (errno.EACCES, "tpm.permission"),
        (errno.EBUSY, "tpm.busy"),
        (errno.EIO, "tpm.not-ready"),
        (errno.ENODEV, "tpm.not-ready"),
        (errno.ENXIO, "tpm.not-ready"),
    ],
)
def test_a_device_that_does_not_open_is_named_by_the_kernels_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, reason: int, expected: str
) -> None:
    """The library tells none, so the device is opened once more; here, with that reason."""

    def refuse(path: str, _flags: int) -> int:
        assert path == str(tmp_path)
        raise OSError(reason, os.strerror(reason))

    monkeypatch.setattr(os, "open", refuse)
    assert code(lambda: Connection(f"device:{tmp_path}")) == expected


def test_a_device_that_opens_and_is_no_tpm_is_not_ready(tmp_path: Path) -> None:
    device = tmp_path / "tpmrm0"
    device.symlink_to("/dev/full")
    assert code(lambda: Connection(f"device:{device}")) == "tpm.not-ready"


def test_a_killed_programs_objects_in_the_tpm_are_flushed(simulator: Simulator) -> None:
    def make_and_die(esapi: ESAPI) -> list[int]:
        esapi.create_primary(TPM2B_SENSITIVE_CREATE(), templates.device_key(), ESYS_TR.ENDORSEMENT)
        left = handles(esapi, TRANSIENT)
        esapi.close()
        return left

    assert len(Connection(simulator.tcti).run("make a key", make_and_die)) == 1
    tpm = Connection(simulator.tcti)
    assert tpm.run("look", lambda esapi: handles(esapi, TRANSIENT)) == []
    tpm.close()


# --- repeated commands ---


@pytest.mark.parametrize("rc", [0x908, 0x90A, 0x920, 0x922, 0x923])
def test_a_tpm_that_asks_for_the_command_again_gets_it(tpm: Connection, rc: int) -> None:
    command = Failing(rc, rc)
    assert tpm.run("try", command) == "done"
    assert command.sent == 3


def test_a_tpm_that_asks_without_end_is_not_ready(tpm: Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    """The clock advances only while the connection pauses."""
    pauses: list[float] = []
    monkeypatch.setattr(connection, "time", Mock(monotonic=lambda: sum(pauses), sleep=pauses.append))
    command = Failing(*[0x922] * 99)
    assert code(lambda: tpm.run("try", command)) == "tpm.not-ready"
    assert command.sent == len(pauses) + 1
    assert pauses[:7] == [0.05, 0.1, 0.2, 0.4, 0.8, 1.0, 1.0]
    assert set(pauses[7:]) == {1.0}
    assert connection.AGAIN_SECONDS <= sum(pauses) < connection.AGAIN_SECONDS + connection.AGAIN_PAUSE_SECONDS_MAX


def test_an_object_that_cannot_be_flushed_yet_is_flushed_when_the_tpm_is_ready(
    simulator: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would take the room that a key needs."""
    tpm = Connection(simulator.tcti)
    tpm.run("leave a key", lambda esapi: esapi.create_primary(TPM2B_SENSITIVE_CREATE(), templates.device_key()))
    flush, refusals = ESAPI.flush_context, [0x922, 0x90A]

    def flush_later(esapi: ESAPI, handle: ESYS_TR) -> None:
        if refusals:
            raise TSS2_Exception(refusals.pop())
        flush(esapi, handle)

    monkeypatch.setattr(ESAPI, "flush_context", flush_later)
    connection._flush_all(tpm.run)
    assert refusals == []
    assert tpm.run("look", lambda esapi: handles(esapi, TRANSIENT)) == []
    tpm.close()


@pytest.mark.parametrize("rc", [0x901, 0x902, 0x903, 0x904, 0x905, 0x906])
def test_without_room_in_the_tpm_room_is_made_once(tpm: Connection, rc: int) -> None:
    made: list[int] = []
    tpm.make_room = lambda: made.append(1)
    assert tpm.run("try", Failing(rc)) == "done"
    assert made == [1]
    assert code(lambda: tpm.run("try", Failing(rc, rc))) == "tpm.busy"
    assert made == [1, 1]


def test_a_lockout_is_ended_where_the_owner_set_no_password(tpm: Connection) -> None:
    command = Failing(0x921)
    assert tpm.run("try", command) == "done"
    assert command.sent == 2
    assert code(lambda: tpm.run("try", Failing(0x921, 0x921))) == "tpm.lockout"


def test_a_lockout_that_cannot_be_ended_is_reported(tpm: Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    def locked(_esapi: ESAPI) -> bool:
        raise TSS2_Exception(0x921)

    monkeypatch.setattr(connection, "_unlock", locked)
    assert code(lambda: tpm.run("try", Failing(0x921))) == "tpm.lockout"


# --- failures ---


@pytest.mark.parametrize(
    ("rc", "expected"),
    [
        (0x1DF, "tpm.not-this-one"),  # INTEGRITY of parameter 1
        (0x9A2, "tpm.owned"),  # BAD_AUTH of session 1
        (0x98E, "tpm.owned"),  # AUTH_FAIL of session 1
        (0x0A000A, "tpm.gone"),  # the TCTI's IO_ERROR
        (0x2C4, "tpm.failed"),  # VALUE of parameter 2
    ],
)
def test_a_failure_has_a_name_and_says_what_was_tried(tpm: Connection, rc: int, expected: str) -> None:
    with pytest.raises(BirthmarkError, match="seal the hash") as caught:
        tpm.run("seal the hash", Failing(rc))
    assert caught.value.code == expected


def test_a_mistake_of_ours_is_raised_as_it_is(tpm: Connection) -> None:
    with pytest.raises(ZeroDivisionError):
        tpm.run("try", lambda _: 1 // 0)
    assert tpm.run("try", Failing()) == "done"


def test_a_tpm_that_does_not_answer_is_hung_from_then_on(simulator: Simulator) -> None:
    answer = threading.Event()
    tpm = Connection(simulator.tcti)
    tpm._seconds = 0.01
    try:
        assert code(lambda: tpm.run("try", lambda _: answer.wait())) == "tpm.hung"
        command = Failing()
        assert code(lambda: tpm.run("try", command)) == "tpm.hung"
        assert command.sent == 0
    finally:
        answer.set()
        tpm.close()


def test_closing_twice_and_after_the_tpm_went_away_is_no_error(simulator: Simulator) -> None:
    tpm = Connection(simulator.tcti)
    simulator.stop()
    try:
        assert code(lambda: tpm.run("look", lambda esapi: handles(esapi, TRANSIENT))) == "tpm.gone"
        tpm.close()
        tpm.close()
        assert not tpm._hung  # the second close waited for no answer
    finally:
        simulator.start()
