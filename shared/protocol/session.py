"""One end of a session, sans-I/O: bytes in, events out; messages in, bytes out. One class serves both roles.

It frames and decodes messages, keeps the transcript and the state of `shared.protocol.states`, and refuses a message
that the state does not allow. The caller verifies signatures and certificates with the transcript before the message,
which each event carries. The caller also handles time-outs.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, TypeAlias

from shared import limits
from shared.errors import BirthmarkError
from shared.errors.catalogue import CATALOGUE
from shared.protocol.framing import FrameDecoder, encode_frame
from shared.protocol.messages import VERSION, Hello, Identity, Message, NotReady, Refusal, decode, encode
from shared.protocol.states import REPEATS, SENDER, TRANSITIONS, UNDERWAY, Role, State, Step
from shared.protocol.transcript import Transcript


@dataclass(frozen=True, slots=True)
class Received:
    """A message of the other end that the state allows. `transcript` is the digest of all frames before it."""

    step: Step
    message: Message
    transcript: bytes


@dataclass(frozen=True, slots=True)
class Failed:
    """The other end broke the protocol; the session is over, and a Refusal is ready to be sent."""

    error: BirthmarkError


Event: TypeAlias = Received | Failed


def step_of(message: Message) -> Step:
    """Return the step of the session that a message is."""
    return Step(str(message.__struct_config__.tag))


class Session:
    """Pass bytes from the port to `receive`, in pieces of any size; write what `take_outgoing` returns to the port."""

    def __init__(self, role: Role) -> None:
        self.role: Final = role
        self.state = State.IDLE
        self._decoder = FrameDecoder()
        self._transcript = Transcript()
        self._outgoing = bytearray()
        self._repeatable: dict[Step, bytes] = {}
        self._last_sent: bytes | None = None
        self._noise_before = 0
        self._oversized_before = 0

    @property
    def noise_bytes(self) -> int:
        """Bytes outside any frame since this session's Hello."""
        return self._decoder.noise_bytes - self._noise_before

    def transcript(self) -> bytes:
        """Return the 32-byte digest of all frames of this session so far."""
        return self._transcript.digest()

    def take_outgoing(self) -> bytes:
        """Return the bytes to write to the port now, once."""
        data = bytes(self._outgoing)
        self._outgoing.clear()
        return data

    def send(self, message: Message) -> None:
        """Send `message`. Raises ValueError, for a bug of ours, if the state does not allow it."""
        step = step_of(message)
        if self.role not in SENDER[step] or step not in TRANSITIONS[self.state]:
            raise ValueError(f"the {self.role} may not send {step} in state {self.state}")
        payload = encode(message)
        frame = encode_frame(payload)
        self._enter(step, payload)
        self._last_sent = payload
        self._outgoing += frame

    def repeat_hello(self) -> None:
        """Send the last Hello again, until an agent has answered it."""
        if self.role is not Role.STATION or self.state is not State.GREETED:
            raise ValueError(f"the {self.role} may not repeat a Hello in state {self.state}")
        self._outgoing += encode_frame(self._repeatable[Step.HELLO])

    def refuse(self, error: BirthmarkError) -> None:
        """End the session and send the other end the error's code; do nothing where no session runs.

        The detail does not cross the cable: it is for the operator at this end.
        """
        if Step.REFUSAL in TRANSITIONS[self.state]:
            self.send(Refusal(code=error.code))

    def receive(self, data: bytes) -> Iterator[Event]:
        """Yield the events that `data` completes, in order. Never raises.

        Iterate to the end, and answer an event before the next: each frame is checked in the state that the answer to
        the previous one leaves.
        """
        for payload in self._decoder.receive(data):
            if event := self._accept(payload):
                yield event
        if self.state in UNDERWAY:
            if self._decoder.oversized > self._oversized_before:
                yield self._fail(BirthmarkError("link.frame-too-large"))
            elif self.noise_bytes > limits.NOISE_BYTES:
                yield self._fail(BirthmarkError("link.noise", f"{self.noise_bytes} bytes"))

    def _accept(self, payload: bytes) -> Event | None:
        if payload == self._last_sent:
            return None  # our last message, echoed by a terminal
        try:
            message = decode(payload)
        except BirthmarkError as error:
            return None if self.state in (State.DONE, State.REFUSED) else self._fail(error)
        step = step_of(message)
        if SENDER[step] == {self.role}:
            return None  # our own message, echoed later
        if step in REPEATS.get(self.state, ()) and payload == self._repeatable.get(step):
            if step is Step.HELLO and not self._outgoing:  # otherwise that answer is still to be written
                self._outgoing += encode_frame(self._repeatable[Step.IDENTITY])
            return None
        if step not in TRANSITIONS[self.state]:
            # Outside a session it belongs to an older one; a Refusal never answers a Refusal.
            if self.state not in UNDERWAY or step is Step.REFUSAL:
                return None
            return self._fail(BirthmarkError("session.unexpected-message", f"{step} while {self.state}"))
        if isinstance(message, Hello) and VERSION not in message.versions:
            spoken = ", ".join(str(version) for version in message.versions)
            return self._fail(BirthmarkError("message.version-unknown", f"the station speaks {spoken}"))
        if isinstance(message, Identity) and message.version != VERSION:
            return self._fail(BirthmarkError("message.version-unknown", f"{message.version}"))
        before = self._transcript.digest()
        if isinstance(message, Identity | NotReady) and message.hello != before:
            return None  # answers an older Hello
        self._enter(step, payload)
        return Received(step, message, before)

    def _enter(self, step: Step, payload: bytes) -> None:
        if step is Step.HELLO:
            self._transcript = Transcript()
            self._repeatable.clear()
            self._noise_before = self._decoder.noise_bytes
            self._oversized_before = self._decoder.oversized
        self._transcript.absorb(payload)
        if step in (Step.HELLO, Step.IDENTITY):
            self._repeatable[step] = payload
        self.state = TRANSITIONS[self.state][step]

    def _fail(self, error: BirthmarkError) -> Failed:
        if self.state is State.IDLE:  # no session to end, but tell a newer peer why it fails
            self._outgoing[:] = encode_frame(encode(Refusal(code=error.code)))  # replaces earlier ones
        else:
            self.refuse(error)
        return Failed(error)


def refusal_error(refusal: Refusal) -> BirthmarkError:
    """Return the other end's refusal as an error; an unknown code becomes `session.refused` with the code as detail."""
    kind = CATALOGUE.get(refusal.code)
    return BirthmarkError(kind.code) if kind else BirthmarkError("session.refused", refusal.code)
