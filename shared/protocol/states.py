"""The session's states and transitions, as data.

Rule 1: everything that decides which message may follow which lives in this file.
Rule 2: this file does not know which role we are playing.

Theory of operation. A session is one conversation over one cable, and both ends see the same messages in the same
order, so both keep the same state: the table below serves them both, and `SENDER` says whose turn a step is. The
station greets, again and again, until it is answered. A Hello begins a new session in whatever state the old one was
left, for either end may have lost power since; that is also why there is no way back from a refusal but a Hello. On an
idle line the same Hello may be heard and answered twice: a step that `REPEATS` allows is equal, byte for byte, to the
one this session already had, and changes nothing.
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
    CHALLENGE = "challenge"
    PROOF = "proof"
    CREDENTIALS = "credentials"
    RECEIPT = "receipt"
    DONE = "done"
    REFUSAL = "refusal"


class State(StrEnum):
    """Where a session is: named by what has been said last."""

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
    Step.CHALLENGE: frozenset({Role.STATION}),
    Step.PROOF: frozenset({Role.AGENT}),
    Step.CREDENTIALS: frozenset({Role.STATION}),
    Step.RECEIPT: frozenset({Role.AGENT}),
    Step.DONE: frozenset({Role.STATION}),
    Step.REFUSAL: frozenset({Role.AGENT, Role.STATION}),
}

TRANSITIONS: Final[dict[State, dict[Step, State]]] = {
    State.IDLE: {Step.HELLO: State.GREETED},
    State.GREETED: {Step.HELLO: State.GREETED, Step.IDENTITY: State.IDENTIFIED, Step.REFUSAL: State.REFUSED},
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
"""States in which the other end is known to be there and owes, or is owed, an answer."""


class Milestone(NamedTuple):
    """A step of a session that goes well, as both ends and every page count it."""

    name: str
    means: str
    """What holds from now on, in words."""


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
"""A Hello is none of them: it is repeated to an empty port all day, so a session begins when it is answered."""

STEPS: Final = len(MILESTONES)
"""For progress shown as "step n of 6"."""


def steps_done(state: State) -> int:
    """How many of `MILESTONES` are reached; 0 while nobody has answered, and for a session that was refused."""
    return list(MILESTONES).index(state) + 1 if state in MILESTONES else 0
