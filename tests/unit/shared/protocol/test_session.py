"""One end of a session: what it repeats, ignores and refuses. test_states has every state × message."""

from __future__ import annotations

import tracemalloc

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared import limits
from shared.errors import BirthmarkError
from shared.protocol.framing import encode_frame
from shared.protocol.messages import Challenge, Identity, Message, Refusal, decode, encode
from shared.protocol.session import Event, Failed, Received, Session, refusal_error
from shared.protocol.states import Role, State, Step
from tests.harness import samples
from tests.unit.shared.protocol.test_framing import decoded


def heard(session: Session, data: bytes) -> list[Event]:
    return list(session.receive(data))


def said(session: Session) -> list[Message]:
    return [decode(payload) for payload in decoded(session.take_outgoing())]


def failure(events: list[Event]) -> BirthmarkError:
    (event,) = events
    assert isinstance(event, Failed)
    return event.error


def test_both_ends_have_the_same_transcript_at_every_step_and_an_event_carries_the_one_before() -> None:
    agent, station = Session(Role.AGENT), Session(Role.STATION)
    for step, sender, _ in samples.HONEST:
        speaker, listener = (agent, station) if sender is Role.AGENT else (station, agent)
        before = listener.transcript()
        speaker.send(samples.message(step, after=before))
        (event,) = heard(listener, speaker.take_outgoing())
        assert isinstance(event, Received)
        assert event.transcript == before
        assert agent.transcript() == station.transcript() != before


@pytest.mark.parametrize("state", State)
@pytest.mark.parametrize("role", Role)
def test_a_new_hello_begins_a_new_session_whatever_the_old_one_was(role: Role, state: State) -> None:
    session = samples.session_in(role, state)
    if role is Role.STATION:
        session.send(samples.ANOTHER_HELLO)
    else:
        assert len(heard(session, samples.framed(samples.ANOTHER_HELLO))) == 1
    assert session.state is State.GREETED
    assert session.transcript() == samples.transcript_after(samples.ANOTHER_HELLO)


def test_hellos_that_waited_in_the_line_are_answered_once() -> None:
    agent = Session(Role.AGENT)
    events = 0
    for event in agent.receive(samples.framed(samples.HELLO) * 5):
        assert isinstance(event, Received)
        agent.send(samples.message(Step.IDENTITY, after=agent.transcript()))
        events += 1
    assert events == 1
    assert said(agent) == [samples.identity(samples.transcript_after(samples.HELLO))]


def test_a_hello_that_comes_after_another_in_one_chunk_does_not_change_what_the_first_answer_was_bound_to() -> None:
    agent = Session(Role.AGENT)
    for _ in agent.receive(samples.framed(samples.HELLO, samples.ANOTHER_HELLO)):
        agent.send(samples.message(Step.IDENTITY, after=agent.transcript()))
    answers = [message.hello for message in said(agent) if isinstance(message, Identity)]
    assert answers == [samples.transcript_after(samples.HELLO), samples.transcript_after(samples.ANOTHER_HELLO)]


def test_a_second_message_in_the_same_chunk_cannot_overtake_the_answer_to_the_first() -> None:
    station = samples.session_in(Role.STATION, State.GREETED)
    identity = samples.message(Step.IDENTITY, after=station.transcript())
    stream = station.receive(samples.framed(identity, samples.message(Step.RECEIPT)))
    assert next(stream) == Received(Step.IDENTITY, identity, samples.transcript_after(samples.HELLO))
    station.send(samples.message(Step.CHALLENGE))
    assert failure(list(stream)).code == "session.unexpected-message"


def test_a_repeated_hello_gets_the_same_identity_again_and_nothing_else_changes() -> None:
    agent = samples.session_in(Role.AGENT, State.IDENTIFIED)
    before = agent.transcript()
    assert heard(agent, samples.framed(samples.HELLO)) == []
    assert said(agent) == [samples.identity(samples.transcript_after(samples.HELLO))]
    assert (agent.state, agent.transcript()) == (State.IDENTIFIED, before)


def test_hellos_in_masses_make_one_identity_to_write_not_masses() -> None:
    agent = samples.session_in(Role.AGENT, State.IDENTIFIED)
    assert heard(agent, samples.framed(samples.HELLO) * 1000) == []
    assert len(said(agent)) == 1


@pytest.mark.parametrize("state", [State.IDENTIFIED, State.CHALLENGED])
def test_a_repeated_identity_is_received_once(state: State) -> None:
    station = samples.session_in(Role.STATION, state)
    before = station.transcript()
    assert heard(station, samples.framed(samples.identity(samples.transcript_after(samples.HELLO)))) == []
    assert (station.state, station.transcript(), station.take_outgoing()) == (state, before, b"")


def test_an_answer_to_an_older_hello_is_passed_over() -> None:
    station = Session(Role.STATION)
    station.send(samples.HELLO)
    station.send(samples.ANOTHER_HELLO)
    assert heard(station, samples.framed(samples.identity(samples.transcript_after(samples.HELLO)))) == []
    assert station.state is State.GREETED
    assert len(heard(station, samples.framed(samples.identity(samples.transcript_after(samples.ANOTHER_HELLO))))) == 1


def test_only_a_station_that_waits_repeats_its_hello() -> None:
    station = samples.session_in(Role.STATION, State.GREETED)
    before = station.transcript()
    station.repeat_hello()
    assert station.take_outgoing() == samples.framed(samples.HELLO)
    assert station.transcript() == before
    for role in Role:
        for state in State:
            if (role, state) != (Role.STATION, State.GREETED):
                with pytest.raises(ValueError, match="may not repeat a Hello"):
                    samples.session_in(role, state).repeat_hello()


@pytest.mark.parametrize("state", [state for state in State if state is not State.REFUSED])
def test_a_station_of_versions_this_agent_does_not_speak_is_refused_by_name(state: State) -> None:
    agent = samples.session_in(Role.AGENT, state)
    newer = msgspec.structs.replace(samples.HELLO, versions=(2, 3))
    assert failure(heard(agent, samples.framed(newer))).sentence.endswith("the station speaks 2, 3")
    if state is not State.DONE:  # without a session there is nobody to tell
        assert said(agent) == [Refusal(code="message.version-unknown")]


def test_a_station_that_speaks_this_version_among_others_is_answered() -> None:
    newer = msgspec.structs.replace(samples.HELLO, versions=(3, 2, 1))
    assert len(heard(Session(Role.AGENT), samples.framed(newer))) == 1


def test_an_identity_in_another_version_is_refused_by_name() -> None:
    station = samples.session_in(Role.STATION, State.GREETED)
    identity = msgspec.structs.replace(samples.identity(station.transcript()), version=9)
    assert failure(heard(station, samples.framed(identity))).code == "message.version-unknown"
    assert said(station) == [Refusal(code="message.version-unknown")]


@pytest.mark.parametrize("role", Role)
@pytest.mark.parametrize("state", [State.IDENTIFIED, State.CHALLENGED, State.PROVEN, State.CREDENTIALED, State.STORED])
def test_in_a_session_noise_beyond_the_limit_and_endless_frames_end_it(role: Role, state: State) -> None:
    session = samples.session_in(role, state)
    assert heard(session, b"AT\r\n" * 4000 + b"\0") == []
    for _ in range(100):
        events = heard(session, b"noise of all sorts; " * 200 + b"\0")
        if events:
            break
    assert failure(events).code == "link.noise"
    assert said(session) == [Refusal(code="link.noise")]
    assert limits.NOISE_BYTES < session.noise_bytes < limits.NOISE_BYTES + 5000

    session = samples.session_in(role, state)
    assert failure(heard(session, b"x" * 2 * limits.FRAME_BYTES)).code == "link.frame-too-large"
    assert said(session) == [Refusal(code="link.frame-too-large")]


@pytest.mark.parametrize("role", Role)
@pytest.mark.parametrize("state", [State.IDLE, State.GREETED, State.DONE, State.REFUSED])
def test_on_an_idle_line_noise_is_no_matter_and_does_not_count_against_the_next_session(
    role: Role, state: State
) -> None:
    session = samples.session_in(role, state)
    for _ in range(10):
        assert heard(session, b"x" * 2 * limits.FRAME_BYTES) == []
    assert (session.take_outgoing(), session.state) == (b"", state)
    if role is Role.AGENT:
        assert len(heard(session, b"\0" + samples.framed(samples.ANOTHER_HELLO))) == 1
        assert session.noise_bytes == 0


def test_bad_frames_in_masses_before_a_session_make_one_refusal_to_write() -> None:
    agent = Session(Role.AGENT)
    assert len(heard(agent, encode_frame(b"\xc1") * 1000)) == 1000
    assert said(agent) == [Refusal(code="message.malformed")]


def test_a_message_too_large_for_a_frame_is_not_sent_in_part() -> None:
    station = samples.session_in(Role.STATION, State.IDENTIFIED)
    before = station.transcript()
    with pytest.raises(BirthmarkError, match="frame-too-large"):
        station.send(Challenge(body=b"x" * limits.FRAME_BYTES, signature=b"s"))
    assert (station.state, station.transcript(), station.take_outgoing()) == (State.IDENTIFIED, before, b"")


def test_a_refusal_sends_the_code_and_not_the_detail() -> None:
    station = samples.session_in(Role.STATION, State.PROVEN)
    station.refuse(BirthmarkError("registry.unavailable", "/srv/station/registry.db"))
    assert said(station) == [Refusal(code="registry.unavailable")]
    station.refuse(BirthmarkError("registry.unavailable"))
    assert said(station) == [], "a session ends once"


def test_a_refusal_is_reported_in_our_words_or_by_its_code() -> None:
    known = refusal_error(Refusal(code="nuc.hash-malformed"))
    assert (known.code, known.detail) == ("nuc.hash-malformed", "")
    newer = refusal_error(Refusal(code="newer.fault"))
    assert (newer.code, newer.detail) == ("session.refused", "newer.fault")


hostile_frames = st.one_of(
    st.binary(max_size=60),
    st.binary(max_size=60).map(encode_frame),
    st.sampled_from(samples.ALL).map(samples.framed),
    st.sampled_from(samples.ALL).flatmap(
        lambda m: st.integers(0, len(encode(m))).map(lambda n: encode_frame(encode(m)[:n]))
    ),
    st.sampled_from([b"\0", b"\xff" * 70_000, encode_frame(b"\x91" * 60_000)]),
)


@given(st.sampled_from(Role), st.sampled_from(State), st.lists(hostile_frames, max_size=8))
def test_no_input_makes_a_session_raise_or_send_more_than_one_answer_a_frame(
    role: Role, state: State, chunks: list[bytes]
) -> None:
    session = samples.session_in(role, state)
    for chunk in chunks:
        events = heard(session, chunk)
        assert all(isinstance(event, Failed | Received) for event in events)
        assert len(session.take_outgoing()) < 1000


def test_the_decoder_holds_at_most_one_frame() -> None:
    sessions = [samples.session_in(role, State.GREETED) for role in Role]
    chunk = b"y" * 8192
    tracemalloc.start()
    try:
        for _ in range(300):
            for session in sessions:
                assert heard(session, chunk) == []
        held, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert held < limits.FRAME_BYTES
    assert peak < 5 * limits.FRAME_BYTES
