"""The message that an end expects, with its digests; whatever else comes is an error with a code."""

from __future__ import annotations

import pytest

from shared.errors import BirthmarkError
from shared.protocol.expectation import expected
from shared.protocol.messages import Credentials, Identity, Proof, Receipt, Refusal
from shared.protocol.session import Event, Session
from shared.protocol.states import Role, State, Step
from tests.harness import samples


def event_of(session: Session, data: bytes) -> Event:
    [event] = session.receive(data)
    return event


def error_of(kind: type[Credentials | Proof | Receipt], session: Session, data: bytes) -> BirthmarkError:
    with pytest.raises(BirthmarkError) as caught:
        expected(kind, event_of(session, data), session)
    return caught.value


def test_the_expected_message_comes_with_the_digests_around_it() -> None:
    session = samples.session_in(Role.STATION, State.GREETED)
    before = session.transcript()
    message = samples.message(Step.IDENTITY, after=before)
    heard = expected(Identity, event_of(session, samples.framed(message)), session)
    assert heard == (message, before, session.transcript())
    assert heard.before != heard.after


@pytest.mark.parametrize(
    ("role", "state", "kind", "code"),
    [
        (Role.AGENT, State.PROVEN, Credentials, "session.refused-by-station"),
        (Role.STATION, State.CHALLENGED, Proof, "session.refused-by-unit"),
    ],
)
def test_a_refusal_is_named_after_the_other_end_and_says_why(
    role: Role, state: State, kind: type[Credentials | Proof], code: str
) -> None:
    refusal = samples.framed(Refusal(code="nuc.hash-malformed"))
    error = error_of(kind, samples.session_in(role, state), refusal)
    assert error.code == code
    assert error.detail == f"{BirthmarkError('nuc.hash-malformed').sentence} [nuc.hash-malformed]"


def test_what_the_session_failed_with_is_raised() -> None:
    session = samples.session_in(Role.STATION, State.CHALLENGED)
    event = event_of(session, samples.framed(samples.message(Step.RECEIPT)))
    with pytest.raises(BirthmarkError, match="receipt while challenged") as caught:
        expected(Proof, event, session)
    assert caught.value.code == "session.unexpected-message"


def test_a_message_of_another_kind_is_never_taken_for_the_expected_one() -> None:
    session = samples.session_in(Role.STATION, State.CHALLENGED)
    error = error_of(Receipt, session, samples.framed(samples.message(Step.PROOF)))
    assert (error.code, error.detail) == ("session.unexpected-message", "Proof")
