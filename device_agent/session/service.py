"""The agent at work: opens the port, sees one session after another through, opens it again when it was lost."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from device_agent.session.agent import Agent
from device_agent.session.conversation import Progress, converse
from device_agent.session.link import Link
from device_agent.storage.identity import Identity
from shared import limits
from shared.errors import BirthmarkError

_REOPEN_SECONDS: Final = 0.5
_FAILED_SECONDS: Final = 1.0
_FAILED_SECONDS_MAX: Final = 60.0


_PASSING: Final = ("session.", "message.", "trust.")
"""Kinds of failure that are the other end's: the next station may be a better one."""


@dataclass(frozen=True, slots=True)
class Timeouts:
    """How long the agent waits."""

    greeting_seconds: float | None = None
    """For a station's first word; None for ever."""
    step_seconds: float = limits.STEP_SECONDS
    """For each answer after it."""


def serve_once(port: Path, agent: Agent, progress: Progress, timeouts: Timeouts) -> Identity:
    """One session. Raises BirthmarkError when it came to nothing."""
    with _session(port, agent, progress, timeouts) as (_, identity):
        return identity


def serve(
    port: Path,
    agent: Agent,
    progress: Progress,
    failed: Callable[[BirthmarkError], None],
    timeouts: Timeouts,
    *,
    until_provisioned: bool,
) -> Identity:
    """Session after session, until one ends well or, without `until_provisioned`, until the process is stopped.

    `failed` is told of a session that came to nothing. Raises what waiting cannot mend.
    """
    pause = _FAILED_SECONDS
    said = ""
    while True:
        try:
            with _session(port, agent, progress, timeouts) as (link, identity):
                if until_provisioned:
                    return identity
                pause, said = _FAILED_SECONDS, ""
                while True:  # the station goes on greeting; there is nothing more to be had from it on this plug-in
                    link.read(_REOPEN_SECONDS)
        except BirthmarkError as error:
            if not error.kind.retry and not error.code.startswith(_PASSING):
                raise
            if error.code.startswith("link."):
                # A port that is not there yet, or was pulled out, is how every working day begins.
                if error.code != said:
                    progress(0, f"{error.sentence}. {error.advice}")
                said = error.code
                time.sleep(_REOPEN_SECONDS)
            else:
                failed(error)
                time.sleep(pause)
                pause = min(pause * 2, _FAILED_SECONDS_MAX)


@contextmanager
def _session(port: Path, agent: Agent, progress: Progress, timeouts: Timeouts) -> Iterator[tuple[Link, Identity]]:
    """One session, and the link it was held on, still open."""
    try:
        agent.prepare()
        with closing(Link(port)) as link:
            identity = converse(
                link,
                agent.agent_session,
                progress,
                wait_seconds=timeouts.greeting_seconds,
                step_seconds=timeouts.step_seconds,
            )
            agent.provisioned()
            yield link, identity
    except BirthmarkError as error:
        agent.failed(error)
        raise
