"""Runs the agent: opens the port, holds session after session, and reopens a lost port."""

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


_RETRIED_PREFIXES: Final = ("session.", "message.", "trust.")
"""Prefixes of errors that the other end causes: the next station may succeed."""


@dataclass(frozen=True, slots=True)
class Timeouts:
    """How long the agent waits."""

    greeting_seconds: float | None = None
    """For a station's Hello; None waits forever."""
    step_seconds: float = limits.STEP_SECONDS
    """For each later message."""


def serve_once(port: Path, agent: Agent, progress: Progress, timeouts: Timeouts) -> Identity:
    """Hold one session. Raises BirthmarkError when it fails."""
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
    """Hold sessions until one succeeds or, without `until_provisioned`, until the process is stopped.

    Calls `failed` for each failed session. Raises errors that a retry cannot mend.
    """
    pause = _FAILED_SECONDS
    said = ""
    while True:
        try:
            with _session(port, agent, progress, timeouts) as (link, identity):
                if until_provisioned:
                    return identity
                pause, said = _FAILED_SECONDS, ""
                while True:  # the station repeats its Hello; ignore it until the cable is unplugged
                    link.read(_REOPEN_SECONDS)
        except BirthmarkError as error:
            if not error.kind.retry and not error.code.startswith(_RETRIED_PREFIXES):
                raise
            if error.code.startswith("link."):
                # A port that is not there yet, or is gone, is normal: report it once.
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
    """Hold one session and yield its open link and the identity."""
    try:
        agent.prepare()
        with closing(Link(port)) as link:
            identity = converse(
                link,
                agent.agent_session,
                progress,
                wait_seconds=timeouts.greeting_seconds,
                step_seconds=timeouts.step_seconds,
                readiness=agent,
            )
            agent.provisioned()
            yield link, identity
    except BirthmarkError as error:
        agent.failed(error)
        raise
