"""One session over one open line, from the agent's end: drives the sans-I/O engine and keeps the time."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from typing import Final, Protocol

from device_agent.session.agent_session import AgentSession
from device_agent.storage.identity import Identity
from shared import limits
from shared.errors import BirthmarkError
from shared.protocol.expectation import Heard, MessageT, expected
from shared.protocol.messages import Challenge, Credentials, Done, Hello, NotReady
from shared.protocol.session import Event, Received, Session
from shared.protocol.states import UNDERWAY, Role, steps_done

log = logging.getLogger(__name__)

_LOOK_SECONDS: Final = 0.5
"""How long one read waits: short, so that time-outs and signals take effect."""


class SerialLine(Protocol):
    """An open serial line.

    Both methods raise `link.lost` when it is gone; `write` raises `link.unread` when nobody reads.
    """

    def read(self, seconds: float) -> bytes: ...

    def write(self, data: bytes, seconds: float) -> None: ...


class Readiness(Protocol):
    """Whether this unit can begin a session."""

    def lack(self) -> BirthmarkError | None:
        """Return what it lacks, or None. Called again and again while it waits for a station."""

    def not_ready(self, transcript: bytes) -> NotReady:
        """Make the message that says so. `transcript` is the digest after the Hello that it answers."""


Progress = Callable[[int, str], None]
"""Called at each step with the number of `shared.protocol.states.STEPS` done and a sentence."""


def converse(
    line: SerialLine,
    agent_session: Callable[[], AgentSession],
    progress: Progress,
    *,
    wait_seconds: float | None = None,
    step_seconds: float = limits.STEP_SECONDS,
    readiness: Readiness | None = None,
) -> Identity:
    """Wait for a station and hold one session. Returns the unit's new identity.

    `agent_session` makes the unit's side of one session. Until `readiness` lacks nothing, each Hello is answered with
    what it lacks. `wait_seconds` bounds the wait for a Hello, `step_seconds`
    each later wait. Raises BirthmarkError when the session fails, after telling the station.
    """
    return _Conversation(line, agent_session, progress, wait_seconds, step_seconds, readiness).run()


class _GreetedAnew(Exception):  # noqa: N818 - not an error: the session goes on, from its beginning
    """Another station says Hello in the middle of a session, or the same one after a restart."""

    def __init__(self, greeting: Heard[Hello]) -> None:
        self.greeting = greeting


class _Conversation:
    def __init__(
        self,
        line: SerialLine,
        new_agent_session: Callable[[], AgentSession],
        progress: Progress,
        wait_seconds: float | None,
        step_seconds: float,
        readiness: Readiness | None,
    ) -> None:
        self._line = line
        self._readiness = readiness
        self._new_agent_session = new_agent_session
        self._progress = progress
        self._wait_seconds = wait_seconds
        self._step_seconds = step_seconds
        self._session = Session(Role.AGENT)
        self._events: Iterator[Event] = iter(())
        """What the engine makes of the last bytes that were read."""
        self._hinted = False
        self._lacked = False
        self._begun_at = self._heard_at = time.monotonic()
        """When the first session began, and since when the station owes us a sign of life."""

    def run(self) -> Identity:
        agent_session = None if self._lacks() else self._new_agent_session()
        try:
            return self._converse(agent_session)
        except BirthmarkError as error:
            self._session.refuse(error)
            try:
                self._flush()
            except BirthmarkError as unsaid:
                log.debug("the refusal could not be said: %s", unsaid)
            raise

    def _converse(self, agent_session: AgentSession | None) -> Identity:
        self._progress(0, "Waiting for a station")
        greeting = self._expect(Hello)
        while self._readiness is not None and self._lacks():
            self._session.send(self._readiness.not_ready(greeting.after))
            greeting = self._expect(Hello)
        while True:
            try:
                return self._answer(greeting, agent_session or self._new_agent_session())
            except _GreetedAnew as anew:
                greeting = anew.greeting
            agent_session = None

    def _lacks(self) -> bool:
        """Whether this unit is not ready; says that it waits for a station once it is."""
        lacked, self._lacked = self._lacked, self._readiness is not None and self._readiness.lack() is not None
        if lacked and not self._lacked:
            self._progress(0, "Waiting for a station")
        return self._lacked

    def _answer(self, greeting: Heard[Hello], agent_session: AgentSession) -> Identity:
        hello, _, after = greeting
        self._session.send(agent_session.identify(hello, after))
        self._tell("Saying who this is")

        challenge, before, after = self._expect(Challenge)
        self._tell("Proving that the keys are in this TPM")
        proven = agent_session.prove(hello, challenge, before, after)
        self._session.send(proven.message)
        self._tell("Waiting for the certificate")

        credentials, before, after = self._expect(Credentials)
        self._tell("Verifying and storing the credentials")
        self._session.send(agent_session.accept(proven, credentials, before, after))
        self._tell("Waiting for the station to record it")

        self._expect(Done)
        identity = agent_session.done()
        self._tell(f"Provisioned as {identity.about.serial}")
        return identity  # without a look at what follows: a later Hello would begin a session that we do not want

    def _expect(self, kind: type[MessageT]) -> Heard[MessageT]:
        """Return the station's next message. Raises _GreetedAnew if that is a Hello in place of another.

        What this end has to say is written when every message is handled that was read together: the engine answers
        Hellos that waited in the line once.
        """
        self._heard_at = time.monotonic()
        while (event := next(self._events, None)) is None:
            self._flush()
            self._events = self._session.receive(self._read())
        if kind is not Hello and isinstance(event, Received) and isinstance(event.message, Hello):
            raise _GreetedAnew(expected(Hello, event, self._session))
        return expected(kind, event, self._session)

    def _read(self) -> bytes:
        """Return what has arrived after a moment, which may be nothing, while the station is in time."""
        data = self._line.read(_LOOK_SECONDS)
        now = time.monotonic()
        if self._session.state not in UNDERWAY:
            self._begun_at = now
            self._lacks()
            self._wait_for_greeting(now - self._heard_at)
        elif data:
            self._heard_at = now
        elif now - self._heard_at > self._step_seconds:
            raise BirthmarkError("link.silent", f"no answer for {self._step_seconds:g} s")
        if now - self._begun_at > limits.SESSION_SECONDS:
            raise BirthmarkError("link.slow", f"{limits.SESSION_SECONDS:g} s")
        return data

    def _wait_for_greeting(self, waited: float) -> None:
        """Raise `link.no-station` after too long a wait; before that, say once where to look."""
        if self._wait_seconds is not None and waited > self._wait_seconds:
            raise BirthmarkError("link.no-station", f"none in {self._wait_seconds:g} s")
        if not self._hinted and waited > limits.GREETING_SECONDS:
            self._hinted = True
            hint = BirthmarkError("link.no-station").advice
            self._progress(0, f"Waiting for a station; none in {limits.GREETING_SECONDS:g} s. {hint}")

    def _tell(self, text: str) -> None:
        self._progress(steps_done(self._session.state), text)

    def _flush(self) -> None:
        data = self._session.take_outgoing()
        for start in range(0, len(data), limits.WRITE_BYTES):
            self._line.write(data[start : start + limits.WRITE_BYTES], self._step_seconds)
