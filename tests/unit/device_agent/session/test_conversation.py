"""A session from the agent's end, on a line that is a list of bytes: its messages, its time-outs, its reports."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from pathlib import Path
from unittest.mock import Mock

import pytest

from device_agent.board.display import Display
from device_agent.board.led import find_led
from device_agent.session.agent_session import AgentSession, ProvenUnit
from device_agent.session.conversation import converse
from device_agent.storage.endorsement_key import EndorsementKey
from device_agent.storage.identity import Identity, IdentityFile, Secrets
from device_agent.storage.tpm_blob import Blob
from shared import limits
from shared.errors import BirthmarkError
from shared.protocol.framing import FrameDecoder
from shared.protocol.messages import Challenge, Credentials, Hello, Message, NotReady, Proof, Receipt, Refusal, decode
from shared.protocol.messages import Identity as IdentityMessage
from shared.protocol.session import Received, Session
from shared.protocol.states import STEPS, Role, State, Step
from tests.harness import samples

EK = EndorsementKey(template="L-2", name="000b" + 32 * "ab")
NOTHING = Blob(public=b"", private=b"")
ABOUT = IdentityFile(
    serial="10000000abcdef01",
    model="a Pi",
    authority_id="MA",
    validation_endpoint="https://ma.example/validate",
    station="bench 3",
    table_ids=(0, 7, 2499),
    tpm="simulator",
    tpm_manufacturer="IBM",
    tpm_firmware="1.0.0.0",
    ek=EK,
)
PROVISIONED = Identity(
    link=Path("/link"),
    path=Path("/nowhere"),
    about=ABOUT,
    secrets=Secrets(tables=(), nuc_hash=NOTHING, nuc_map_key=NOTHING),
    chain=(),
    provisioned=True,
)

ANSWERS = {
    Step.IDENTITY: Step.CHALLENGE,
    Step.PROOF: Step.CREDENTIALS,
    Step.RECEIPT: Step.DONE,
}


class Honest(AgentSession):
    """A unit that sends the sample messages, without a TPM."""

    made = 0

    def __init__(self) -> None:
        Honest.made += 1

    def identify(self, hello: Hello, transcript: bytes) -> IdentityMessage:
        return samples.identity(transcript)

    def prove(self, hello: Hello, challenge: Challenge, before: bytes, after: bytes) -> ProvenUnit:
        assert before != after
        proof = samples.message(Step.PROOF)
        assert isinstance(proof, Proof)
        return ProvenUnit(proof, Mock(), hello.station)

    def accept(self, proven: ProvenUnit, credentials: Credentials, before: bytes, after: bytes) -> Receipt:
        receipt = samples.message(Step.RECEIPT)
        assert isinstance(receipt, Receipt)
        return receipt

    def done(self) -> Identity:
        return PROVISIONED


class FakeLine:
    """The agent's end of a cable whose station sends one Hello and answers until `silent_after`."""

    def __init__(self, *, greets: bool = True, silent_after: Step | None = None, refuses: str = "") -> None:
        self.station = Session(Role.STATION)
        self.written: list[bytes] = []
        self.lost_after: int | None = None
        self._silent_after = silent_after
        self._refuses = refuses
        if greets:
            self.station.send(samples.HELLO)

    def read(self, seconds: float) -> bytes:
        if self.lost_after is not None and len(self.written) >= self.lost_after:
            raise BirthmarkError("link.lost")
        return self.station.take_outgoing()

    def write(self, data: bytes, seconds: float) -> None:
        if self.lost_after is not None and len(self.written) >= self.lost_after:
            raise BirthmarkError("link.lost")
        self.written.append(data)
        for event in self.station.receive(data):
            if not isinstance(event, Received) or event.step is self._silent_after or event.step not in ANSWERS:
                continue
            if self._refuses:
                self.station.send(Refusal(code=self._refuses))
            else:
                self.station.send(samples.message(ANSWERS[event.step]))

    def said(self) -> list[Message]:
        return [decode(payload) for payload in FrameDecoder().receive(b"".join(self.written))]


def kinds(line: FakeLine) -> list[str]:
    return [type(message).__name__ for message in line.said()]


def ended_with(
    line: FakeLine, agent_session: Callable[[], AgentSession] = Honest, *, wait: float = 30.0, step: float = 30.0
) -> BirthmarkError:
    with pytest.raises(BirthmarkError) as caught:
        converse(line, agent_session, lambda _step, _text: None, wait_seconds=wait, step_seconds=step)
    return caught.value


def test_a_session_that_goes_well_ends_with_the_identity_and_tells_of_every_step() -> None:
    line = FakeLine()
    told: list[tuple[int, str]] = []
    identity = converse(line, Honest, lambda step, text: told.append((step, text)), wait_seconds=30.0)
    assert identity is PROVISIONED
    assert kinds(line) == ["Identity", "Proof", "Receipt"]
    assert told[0] == (0, "Waiting for a station")
    assert told[-1] == (STEPS, "Provisioned as 10000000abcdef01")
    assert [step for step, _ in told] == sorted(step for step, _ in told)


def test_long_messages_are_written_in_pieces_that_a_line_takes_at_once() -> None:
    line = FakeLine()
    converse(line, Honest, lambda _step, _text: None)
    assert max(len(piece) for piece in line.written) <= limits.WRITE_BYTES
    assert len(line.written) > len(line.said())


def test_the_unit_is_made_before_a_station_waits_for_it() -> None:
    made: list[bytes] = []

    def make() -> AgentSession:
        made.append(line.station.take_outgoing())  # what nobody has read yet
        line.station.send(samples.ANOTHER_HELLO)
        return Honest()

    line = FakeLine(greets=False)
    converse(line, make, lambda _step, _text: None)
    assert made == [b""]


@pytest.mark.parametrize(
    "moment", ["Saying who this is", "Waiting for the certificate", "Waiting for the station to record it"]
)
def test_a_station_that_greets_anew_meets_a_new_unit_wherever_the_old_one_was(moment: str) -> None:
    Honest.made = 0
    line = FakeLine()

    def told(step: int, text: str) -> None:
        if text == moment and Honest.made == 1:
            line.station = Session(Role.STATION)  # it was restarted
            line.station.send(samples.ANOTHER_HELLO)

    assert converse(line, Honest, told) is PROVISIONED
    assert Honest.made == 2


class Unready:
    """A unit that lacks its NUC map for some looks."""

    def __init__(self, looks: int) -> None:
        self.looks = looks

    def lack(self) -> BirthmarkError | None:
        self.looks -= 1
        return BirthmarkError("nuc.map-missing") if self.looks >= 0 else None

    def not_ready(self, transcript: bytes) -> NotReady:
        message = samples.message(Step.NOT_READY, after=transcript)
        assert isinstance(message, NotReady)
        return message


class GreetsOnAndOn(FakeLine):
    def read(self, seconds: float) -> bytes:
        if self.station.state is State.IDLE:
            self.station.send(samples.HELLO)
        return super().read(seconds)


def test_a_unit_without_its_map_says_so_to_every_hello_and_goes_on_when_it_has_one() -> None:
    line = GreetsOnAndOn(greets=False)
    told: list[str] = []
    Honest.made = 0
    identity = converse(line, Honest, lambda _step, text: told.append(text), readiness=Unready(5))
    assert identity is PROVISIONED
    said = kinds(line)
    assert said[-3:] == ["Identity", "Proof", "Receipt"]
    assert set(said[:-3]) == {"NotReady"}
    assert Honest.made == 1, "only then has it the map"
    assert told[:3] == ["Waiting for a station", "Waiting for a station", "Saying who this is"]


def test_hellos_of_two_stations_that_waited_in_the_line_are_answered_in_turn() -> None:
    class Both(FakeLine):
        waiting = samples.framed(samples.HELLO)

        def read(self, seconds: float) -> bytes:
            waited, self.waiting = self.waiting, b""
            return waited + super().read(seconds)

    Honest.made = 0
    line = Both(greets=False)
    line.station.send(samples.ANOTHER_HELLO)
    assert converse(line, Honest, lambda _step, _text: None) is PROVISIONED
    assert Honest.made == 2
    assert kinds(line) == ["Identity", "Identity", "Proof", "Receipt"]


def test_without_a_hello_the_wait_ends_and_nothing_is_sent() -> None:
    line = FakeLine(greets=False)
    assert ended_with(line, wait=0.01).code == "link.no-station"
    assert line.written == []


@pytest.mark.parametrize("step", list(ANSWERS))
def test_a_station_that_falls_silent_gets_a_refusal(step: Step) -> None:
    line = FakeLine(silent_after=step)
    assert ended_with(line, step=0.01).code == "link.silent"
    assert line.said()[-1] == Refusal(code="link.silent")


def test_a_session_without_end_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "SESSION_SECONDS", 0.01)
    error = ended_with(FakeLine(silent_after=Step.PROOF))
    assert (error.code, error.detail) == ("link.slow", "0.01 s")


def test_a_stations_refusal_is_reported_with_its_sentence_and_not_answered() -> None:
    line = FakeLine(refuses="nuc.hash-zeros")
    error = ended_with(line)
    assert error.code == "session.refused-by-station"
    assert "[nuc.hash-zeros]" in error.detail
    assert kinds(line) == ["Identity"]


def test_an_untrusted_station_gets_the_code_and_no_more() -> None:
    class Suspicious(Honest):
        def prove(self, hello: Hello, challenge: Challenge, before: bytes, after: bytes) -> ProvenUnit:
            raise BirthmarkError("trust.station-forged", "in /var/lib/somewhere")

    line = FakeLine()
    assert ended_with(line, Suspicious).code == "trust.station-forged"
    assert line.said()[-1] == Refusal(code="trust.station-forged")
    assert b"somewhere" not in b"".join(line.written)


@pytest.mark.parametrize("after", [0, 1, 4])
def test_a_line_that_is_lost_is_the_error_even_where_no_refusal_can_be_said(after: int) -> None:
    line = FakeLine()
    line.lost_after = after
    assert ended_with(line).code == "link.lost"


def test_bytes_after_the_end_of_a_session_are_left_alone() -> None:
    class GreetsAgain(FakeLine):
        def read(self, seconds: float) -> bytes:
            data = super().read(seconds)
            return data + samples.framed(samples.ANOTHER_HELLO) if self.station.state is State.DONE else data

    line = GreetsAgain()
    assert converse(line, Honest, lambda _step, _text: None) is PROVISIONED
    assert kinds(line) == ["Identity", "Proof", "Receipt"]


class EmptyLine:
    """A silent line; each read takes its whole time."""

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
