"""Two engines on a fake cable that cuts, mixes in noise, echoes, and goes dead after any number of bytes."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator

import pytest

from shared.protocol.messages import Hello
from shared.protocol.session import Event, Received, Session
from shared.protocol.states import Role, State, Step
from tests.harness import samples

ANSWER = {
    Step.HELLO: Step.IDENTITY,
    Step.IDENTITY: Step.CHALLENGE,
    Step.CHALLENGE: Step.PROOF,
    Step.PROOF: Step.CREDENTIALS,
    Step.CREDENTIALS: Step.RECEIPT,
    Step.RECEIPT: Step.DONE,
}

SerialLine = Callable[[bytes, random.Random], Iterator[bytes]]
"""Turns the bytes written at one end into the pieces that arrive at the other."""


class End:
    """One engine, used by an honest end."""

    def __init__(self, role: Role) -> None:
        self.session = Session(role)
        self.heard: list[Event] = []

    def hear(self, data: bytes) -> None:
        for event in self.session.receive(data):
            self.heard.append(event)
            if isinstance(event, Received) and event.step in ANSWER:
                self.session.send(samples.message(ANSWER[event.step], after=self.session.transcript()))

    def steps(self) -> list[Step]:
        return [event.step for event in self.heard if isinstance(event, Received)]


class Cable:
    """Carries bytes between the ends until both are quiet; `most` bytes in all, then it is dead."""

    def __init__(self, line: SerialLine, *, seed: int = 1, echo: bool = False, most: int = 1 << 20) -> None:
        self.agent, self.station = End(Role.AGENT), End(Role.STATION)
        self._line, self._random, self._echo, self._left = line, random.Random(seed), echo, most
        self.carried = 0

    def greet(self, hello: Hello = samples.HELLO) -> None:
        self.station.session.send(hello)
        self.pump()

    def mend(self) -> None:
        self._left = 1 << 20

    def pump(self) -> None:
        moved = True
        while moved:
            moved = False
            for end, other in ((self.station, self.agent), (self.agent, self.station)):
                data = end.session.take_outgoing()
                moved = moved or bool(data)
                data = data[: self._left]
                self._left -= len(data)
                self.carried += len(data)
                for piece in self._line(data, self._random):
                    if self._echo:
                        end.hear(piece)
                    other.hear(piece)


def whole(data: bytes, _: random.Random) -> Iterator[bytes]:
    yield data


def byte_by_byte(data: bytes, _: random.Random) -> Iterator[bytes]:
    for at in range(len(data)):
        yield data[at : at + 1]


def torn(data: bytes, chance: random.Random) -> Iterator[bytes]:
    while data:
        length = chance.randint(1, 90)
        yield data[:length]
        data = data[length:]


def noisy(data: bytes, chance: random.Random) -> Iterator[bytes]:
    yield chance.choice([b"AT+CGMI\r\n", b"\0\0", b"\0\x05half", b"raspberrypi login: ", chance.randbytes(200)])
    yield from torn(data, chance)
    yield b"\0" + chance.randbytes(chance.randint(0, 50))


LINES = [whole, byte_by_byte, torn, noisy]


def assert_done(cable: Cable) -> None:
    assert cable.agent.session.state is cable.station.session.state is State.DONE
    assert cable.agent.session.transcript() == cable.station.session.transcript()
    assert all(isinstance(event, Received) for event in cable.agent.heard + cable.station.heard)
    assert cable.agent.steps()[-4:] == [Step.HELLO, Step.CHALLENGE, Step.CREDENTIALS, Step.DONE]
    assert cable.station.steps()[-3:] == [Step.IDENTITY, Step.PROOF, Step.RECEIPT]


@pytest.mark.parametrize("echo", [False, True], ids=["raw", "echoing"])
@pytest.mark.parametrize("line", LINES)
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_session_goes_through_on_every_kind_of_line(line: SerialLine, echo: bool, seed: int) -> None:
    cable = Cable(line, echo=echo, seed=seed)
    cable.greet()
    assert_done(cable)


@pytest.mark.parametrize("line", LINES)
def test_a_second_session_follows_on_the_same_line(line: SerialLine) -> None:
    cable = Cable(line)
    cable.greet()
    cable.greet(samples.ANOTHER_HELLO)
    assert_done(cable)
    assert cable.agent.steps().count(Step.DONE) == 2


@pytest.mark.parametrize("hello", [samples.HELLO, samples.ANOTHER_HELLO], ids=["same", "new"])
def test_after_a_line_dies_at_any_byte_the_next_hello_begins_a_new_session(hello: Hello) -> None:
    sound = Cable(whole)
    sound.greet()
    for most in range(sound.carried):
        cable = Cable(whole, most=most)
        cable.greet()
        assert cable.agent.session.state is not State.DONE, "Done is the last message; its last byte was lost"
        cable.mend()
        cable.greet(hello)
        assert_done(cable)


@pytest.mark.parametrize("line", [torn, noisy])
def test_an_agent_that_lost_its_power_anywhere_is_taken_up_by_the_next_hello(line: SerialLine) -> None:
    sound = Cable(line)
    sound.greet()
    for most in range(0, sound.carried, 13):
        cable = Cable(line, most=most)
        cable.greet()
        cable.mend()
        cable.agent = End(Role.AGENT)
        cable.greet(samples.ANOTHER_HELLO)
        assert_done(cable)


def test_a_station_that_was_restarted_anywhere_begins_anew() -> None:
    sound = Cable(whole)
    sound.greet()
    for most in range(0, sound.carried, 13):
        cable = Cable(whole, most=most)
        cable.greet()
        cable.mend()
        cable.station = End(Role.STATION)
        cable.greet(samples.ANOTHER_HELLO)
        assert_done(cable)


def test_an_agent_that_listens_late_answers_a_repeated_hello() -> None:
    cable = Cable(whole, most=0)
    cable.greet()
    cable.mend()
    cable.station.session.repeat_hello()
    cable.pump()
    assert_done(cable)
