"""The session's states and transitions, as data.

This file alone decides which message may follow which, and it is the same for both roles.

Theory of operation. A session is one conversation over one cable. Both ends see the same messages in the same order, so
both keep the same state: the table below serves both, and `SENDER` says which role sends a step. The station sends
Hello until an agent answers. A Hello begins a new session in every state, because either end may have lost power
meanwhile; so after a refusal, too, only a Hello goes on. An agent that lacks what a session needs says so instead of
who it is: then no session begins, and it answers the next Hello anew. On an idle line an agent may receive and answer
the same Hello twice: a step that `REPEATS` allows equals, byte for byte, the one that this session already had, and
changes nothing.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final, NamedTuple


class Role(StrEnum):
    AGENT = "agent"
    STATION = "station"


class Step(StrEnum):
    """The messages, each by the tag it has on the wire."""

    HELLO = "hello"
    IDENTITY = "identity"
    NOT_READY = "not-ready"
    CHALLENGE = "challenge"
    PROOF = "proof"
    CREDENTIALS = "credentials"
    RECEIPT = "receipt"
    DONE = "done"
    REFUSAL = "refusal"


class State(StrEnum):
    """The state of a session, named after the last message."""

    IDLE = "idle"
    GREETED = "greeted"
    IDENTIFIED = "identified"
    CHALLENGED = "challenged"
    PROVEN = "proven"
    CREDENTIALED = "credentialed"
    STORED = "stored"
    DONE = "done"
    REFUSED = "refused"


SENDER: Final[dict[Step, frozenset[Role]]] = {
    Step.HELLO: frozenset({Role.STATION}),
    Step.IDENTITY: frozenset({Role.AGENT}),
    Step.NOT_READY: frozenset({Role.AGENT}),
    Step.CHALLENGE: frozenset({Role.STATION}),
    Step.PROOF: frozenset({Role.AGENT}),
    Step.CREDENTIALS: frozenset({Role.STATION}),
    Step.RECEIPT: frozenset({Role.AGENT}),
    Step.DONE: frozenset({Role.STATION}),
    Step.REFUSAL: frozenset({Role.AGENT, Role.STATION}),
}

TRANSITIONS: Final[dict[State, dict[Step, State]]] = {
    State.IDLE: {Step.HELLO: State.GREETED},
    State.GREETED: {
        Step.HELLO: State.GREETED,
        Step.IDENTITY: State.IDENTIFIED,
        Step.NOT_READY: State.IDLE,
        Step.REFUSAL: State.REFUSED,
    },
    State.IDENTIFIED: {Step.HELLO: State.GREETED, Step.CHALLENGE: State.CHALLENGED, Step.REFUSAL: State.REFUSED},
    State.CHALLENGED: {Step.HELLO: State.GREETED, Step.PROOF: State.PROVEN, Step.REFUSAL: State.REFUSED},
    State.PROVEN: {Step.HELLO: State.GREETED, Step.CREDENTIALS: State.CREDENTIALED, Step.REFUSAL: State.REFUSED},
    State.CREDENTIALED: {Step.HELLO: State.GREETED, Step.RECEIPT: State.STORED, Step.REFUSAL: State.REFUSED},
    State.STORED: {Step.HELLO: State.GREETED, Step.DONE: State.DONE, Step.REFUSAL: State.REFUSED},
    State.DONE: {Step.HELLO: State.GREETED},
    State.REFUSED: {Step.HELLO: State.GREETED},
}

REPEATS: Final[dict[State, frozenset[Step]]] = {
    State.IDENTIFIED: frozenset({Step.HELLO, Step.IDENTITY}),
    State.CHALLENGED: frozenset({Step.IDENTITY}),
}

UNDERWAY: Final = frozenset({State.IDENTIFIED, State.CHALLENGED, State.PROVEN, State.CREDENTIALED, State.STORED})
"""States in which the other end has answered and the session is not over."""


class Milestone(NamedTuple):
    """A step of a successful session, as both ends and the page count it."""

    name: str
    means: str
    """What is true from this step on, in words."""


MILESTONES: Final[dict[State, Milestone]] = {
    State.IDENTIFIED: Milestone("Identified", "The Pi has answered with its serial number and its TPM's keys."),
    State.CHALLENGED: Milestone(
        "Challenged", "The station has proven itself, and asked for what only that TPM can do."
    ),
    State.PROVEN: Milestone(
        "Proven", "The Pi has answered with the TPM's proof, a certificate request and its NUC hash."
    ),
    State.CREDENTIALED: Milestone(
        "Issued", "The station has verified everything, and issued certificate and key tables."
    ),
    State.STORED: Milestone("Stored", "The Pi has verified and stored all of it, and signed a receipt."),
    State.DONE: Milestone("Done", "The station has recorded the receipt, and the Pi knows."),
}
"""A Hello is not among them: the station repeats it on an empty port all day, and a session begins with the answer."""

STEPS: Final = len(MILESTONES)
"""For progress shown as "step n of 6"."""


def steps_done(state: State) -> int:
    """Count the `MILESTONES` reached; 0 before an agent answers, and for a refused session."""
    return list(MILESTONES).index(state) + 1 if state in MILESTONES else 0
