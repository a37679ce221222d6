"""One session over one open line, from the agent's end: drives the sans-I/O engine and keeps the time."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Final, Protocol

from device_agent.session.agent_session import AgentSession
from device_agent.storage.identity import Identity
from shared import limits
from shared.errors import BirthmarkError
from shared.protocol.messages import Challenge, Credentials, Done, Hello, Refusal
from shared.protocol.session import Failed, Received, Session, refusal_error
from shared.protocol.states import UNDERWAY, Role, State, steps_done

log = logging.getLogger(__name__)

_LOOK_SECONDS: Final = 0.5
"""How long one read waits, so that time-outs and signals are noticed."""


class Line(Protocol):
    """An open serial line. Both raise `link.lost` when it is gone, and `write` `link.unread` when nobody takes it."""

    def read(self, seconds: float) -> bytes: ...

    def write(self, data: bytes, seconds: float) -> None: ...


Progress = Callable[[int, str], None]
"""Told of each step: how many of `shared.protocol.states.STEPS` are done, and what goes on, in words."""


def converse(
    line: Line,
    agent_session: Callable[[], AgentSession],
    progress: Progress,
    *,
    wait_seconds: float | None = None,
    step_seconds: float = limits.STEP_SECONDS,
) -> Identity:
    """Wait for a station and see one session through. Returns the identity that came of it.

    `agent_session` makes the unit's side of one session. `wait_seconds` bounds the wait for a greeting, `step_seconds`
    each wait after it. Raises BirthmarkError when the session came to nothing, after the station has been told.
    """
    return _Conversation(line, agent_session, progress, step_seconds).run(wait_seconds)


class _Conversation:
    def __init__(
        self, line: Line, agent_session: Callable[[], AgentSession], progress: Progress, step_seconds: float
    ) -> None:
        self._line = line
        self._make_enrollee = agent_session
        self._enrollee = agent_session()
        self._greeted = False
        self._progress = progress
        self._step_seconds = step_seconds
        self._session = Session(Role.AGENT)

    def run(self, wait_seconds: float | None) -> Identity:
        try:
            return self._converse(wait_seconds)
        except BirthmarkError as error:
            self._session.refuse(error)
            try:
                self._flush()
            except BirthmarkError as unsaid:
                log.debug("the refusal could not be said: %s", unsaid)
            raise

    def _converse(self, wait_seconds: float | None) -> Identity:
        self._progress(0, "Waiting for a station")
        begun_at = heard_at = waiting_since = time.monotonic()
        hinted = False
        while True:
            data = self._line.read(_LOOK_SECONDS)
            now = time.monotonic()
            if self._session.state not in UNDERWAY:
                begun_at = now
                if wait_seconds is not None and now - heard_at > wait_seconds:
                    raise BirthmarkError("link.no-station", f"none in {wait_seconds:g} s")
                if not hinted and self._session.state is State.IDLE and now - waiting_since > limits.GREETING_SECONDS:
                    hinted = True
                    hint = BirthmarkError("link.no-station").advice
                    self._progress(0, f"Waiting for a station; none in {limits.GREETING_SECONDS:g} s. {hint}")
            elif data:
                heard_at = now
            elif now - heard_at > self._step_seconds:
                raise BirthmarkError("link.silent", f"no answer for {self._step_seconds:g} s")
            if now - begun_at > limits.SESSION_SECONDS:
                raise BirthmarkError("link.slow", f"{limits.SESSION_SECONDS:g} s")
            for event in self._session.receive(data):
                identity = self._handle(event)
                if identity is not None:
                    return identity  # what follows greets a session that we do not want
                heard_at = time.monotonic()
            self._flush()

    def _handle(self, event: Received | Failed) -> Identity | None:
        if isinstance(event, Failed):
            raise event.error
        session = self._session
        if isinstance(event.message, Refusal):
            error = refusal_error(event.message)
            raise BirthmarkError("session.refused-by-station", f"{error.sentence} [{event.message.code}]")
        if isinstance(event.message, Hello):
            if self._greeted:
                self._enrollee = self._make_enrollee()
            self._greeted = True
            session.send(self._enrollee.identify(event.message, session.transcript()))
            self._tell("Saying who this is")
            return None
        match event.message:
            case Challenge() as challenge:
                self._tell("Proving that the keys are in this TPM")
                session.send(self._enrollee.prove(challenge, event.transcript, session.transcript()))
                self._tell("Waiting for the certificate")
            case Credentials() as credentials:
                self._tell("Verifying and storing the credentials")
                session.send(self._enrollee.accept(credentials, event.transcript, session.transcript()))
                self._tell("Waiting for the station to record it")
            case Done():
                identity = self._enrollee.done()
                self._tell(f"Provisioned as {identity.about.serial}")
                return identity
            case message:
                raise BirthmarkError("session.unexpected-message", type(message).__name__)
        return None

    def _tell(self, text: str) -> None:
        self._progress(steps_done(self._session.state), text)

    def _flush(self) -> None:
        data = self._session.take_outgoing()
        for start in range(0, len(data), limits.WRITE_BYTES):
            self._line.write(data[start : start + limits.WRITE_BYTES], self._step_seconds)
