"""Every state with every message, at both ends, against a table written by hand from the design."""

from __future__ import annotations

import pytest

from shared.protocol.framing import encode_frame
from shared.protocol.messages import Refusal, decode, encode
from shared.protocol.session import Failed, Received
from shared.protocol.states import SENDER, STEPS, TRANSITIONS, Role, State, Step, steps_done
from tests.harness import samples
from tests.unit.shared.protocol.test_framing import decoded

# A message that arrives: T accepted, X refused with a code, . ignored (our own echoed, or an old one).
COLUMNS = "hello identity not-ready challenge proof credentials receipt done refusal"
HEARD = {
    Role.AGENT: """
        idle          T . . . . . . . .
        greeted       T . . . . . . . T
        identified    T . . T . X . X T
        challenged    T . . X . X . X T
        proven        T . . X . T . X T
        credentialed  T . . X . X . X T
        stored        T . . X . X . T T
        done          T . . . . . . . .
        refused       T . . . . . . . .
    """,
    Role.STATION: """
        idle          . . . . . . . . .
        greeted       . T T . . . . . T
        identified    . X X . X . X . T
        challenged    . X X . T . X . T
        proven        . X X . X . X . T
        credentialed  . X X . X . T . T
        stored        . X X . X . X . T
        done          . . . . . . . . .
        refused       . . . . . . . . .
    """,
}
# What an end may send: + allowed, - a bug of ours.
SAID = {
    Role.AGENT: """
        idle          - - - - - - - - -
        greeted       - + + - - - - - +
        identified    - - - - - - - - +
        challenged    - - - - + - - - +
        proven        - - - - - - - - +
        credentialed  - - - - - - + - +
        stored        - - - - - - - - +
        done          - - - - - - - - -
        refused       - - - - - - - - -
    """,
    Role.STATION: """
        idle          + - - - - - - - -
        greeted       + - - - - - - - +
        identified    + - - + - - - - +
        challenged    + - - - - - - - +
        proven        + - - - - + - - +
        credentialed  + - - - - - - - +
        stored        + - - - - - - + +
        done          + - - - - - - - -
        refused       + - - - - - - - -
    """,
}


def rows(tables: dict[Role, str]) -> list[tuple[Role, State, Step, str]]:
    return [
        (role, State(name), Step(step), mark)
        for role, table in tables.items()
        for name, *marks in map(str.split, table.strip().splitlines())
        for step, mark in zip(COLUMNS.split(), marks, strict=True)
    ]


def test_the_tables_below_leave_nothing_out() -> None:
    every = [(role, state, step) for role in Role for state in State for step in Step]
    for table in (HEARD, SAID):
        assert sorted(row[:3] for row in rows(table)) == sorted(every)


@pytest.mark.parametrize(("role", "state", "step", "mark"), rows(HEARD))
def test_every_message_received_in_every_state(role: Role, state: State, step: Step, mark: str) -> None:
    session = samples.session_in(role, state)
    before = session.transcript()
    message = samples.message(step, after=before)
    if state is not State.IDLE and step is Step.HELLO:
        message = samples.ANOTHER_HELLO  # the same again would be a repeat, not a new one
    if state is not State.GREETED and step is Step.IDENTITY:
        message = samples.identity(before, serial="another")
    events = list(session.receive(samples.framed(message)))
    said = [decode(payload) for payload in decoded(session.take_outgoing())]
    if mark == "T":
        assert events == [Received(step, message, before)]
        assert session.state is TRANSITIONS[state][step]
        assert session.transcript() != before
        assert said == []
    elif mark == "X":
        (failed,) = events
        assert isinstance(failed, Failed)
        assert failed.error.code == "session.unexpected-message"
        assert failed.error.detail == f"{step} while {state}"
        assert said == [Refusal(code="session.unexpected-message")]
        assert session.state is State.REFUSED
    else:
        assert (events, said) == ([], [])
        assert (session.state, session.transcript()) == (state, before)


@pytest.mark.parametrize(("role", "state", "step", "mark"), rows(SAID))
def test_every_message_sent_in_every_state(role: Role, state: State, step: Step, mark: str) -> None:
    session = samples.session_in(role, state)
    before = session.transcript()
    message = samples.message(step, after=before)
    if mark == "+":
        session.send(message)
        assert session.take_outgoing() == samples.framed(message)
        assert session.take_outgoing() == b"", "handed out once"
        assert session.state is TRANSITIONS[state][step]
    else:
        with pytest.raises(ValueError, match=f"the {role} may not send {step} in state {state}"):
            session.send(message)
        assert session.take_outgoing() == b""
        assert (session.state, session.transcript()) == (state, before)


@pytest.mark.parametrize("role", Role)
@pytest.mark.parametrize("state", State)
@pytest.mark.parametrize("payload", [b"", b"\xc1", b"\x80", encode(Refusal(code="x"))[:-1]])
def test_a_frame_without_a_message_ends_a_running_session(role: Role, state: State, payload: bytes) -> None:
    session = samples.session_in(role, state)
    events = list(session.receive(encode_frame(payload)))
    said = [decode(payload) for payload in decoded(session.take_outgoing())]
    if state in (State.DONE, State.REFUSED):
        assert (events, said, session.state) == ([], [], state)
    else:
        (failed,) = events
        assert isinstance(failed, Failed)
        assert failed.error.code == "message.malformed"
        assert said == [Refusal(code="message.malformed")]
        assert session.state is (State.IDLE if state is State.IDLE else State.REFUSED)


def test_every_step_has_one_sender_but_refusal_and_every_state_but_idle_leads_out_by_hello() -> None:
    assert {step for step in Step if len(SENDER[step]) != 1} == {Step.REFUSAL}
    assert SENDER.keys() == set(Step)
    assert TRANSITIONS.keys() == set(State)
    assert all(table[Step.HELLO] is State.GREETED for table in TRANSITIONS.values())


def test_progress_counts_the_steps_of_a_session_that_goes_well() -> None:
    assert [steps_done(state) for _, _, state in samples.HONEST] == list(range(STEPS + 1))
    assert steps_done(State.IDLE) == steps_done(State.GREETED) == steps_done(State.REFUSED) == 0
