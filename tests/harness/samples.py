"""A well-formed message for every step, and sessions in every state."""

from __future__ import annotations

from typing import Final

import msgspec

from shared.protocol.framing import encode_frame
from shared.protocol.messages import (
    VERSION,
    Body,
    Challenge,
    ChallengeBody,
    Credentials,
    CredentialsBody,
    Done,
    Hello,
    Identity,
    Message,
    NotReady,
    Proof,
    Receipt,
    ReceiptBody,
    Refusal,
    TableImport,
    WrappedTable,
    encode,
)
from shared.protocol.session import Session
from shared.protocol.states import Role, State, Step
from shared.protocol.transcript import Transcript

HELLO: Final = Hello(
    versions=(VERSION,),
    nonce=b"h" * 32,
    station="bench 3",
    chain=(b"leaf", b"intermediate", b"root"),
    time=1_795_000_000,
    revoked_stations=b"crl",
)

ANOTHER_HELLO: Final = msgspec.structs.replace(HELLO, nonce=b"H" * 32)

BODIES: Final[tuple[Body, ...]] = (
    ChallengeBody(credential=b"id object", encrypted_secret=b"seed", hpke_key=b"\x04" + b"k" * 64),
    CredentialsBody(
        chain=(b"leaf", b"root"),
        tables=tuple(WrappedTable(table_id=n, public=b"p", duplicate=b"d", seed=b"s") for n in (0, 7, 2499)),
        authority_id="birthmark_simulated_ma",
        validation_endpoint="http://localhost:8001/validate-cert",
    ),
    ReceiptBody(stored=b"s" * 32, tables=(TableImport(table_id=7, attest=b"a", signature=b"s"),)),
)


def identity(hello: bytes = b"t" * 32, serial: str = "10000000abcdef01") -> Identity:
    return Identity(
        version=VERSION,
        hello=hello,
        nonce=b"i" * 32,
        agent="birthmark-agent 0.1.0",
        model="Raspberry Pi Zero 2 W Rev 1.0",
        serial=serial,
        ek_public=b"ek",
        ak_public=b"ak",
        srk_public=b"srk",
        device_public=b"device",
        findings=("board.clock-wrong",),
    )


def message(step: Step, *, after: bytes = b"t" * 32) -> Message:
    """Return the honest message of `step`; an Identity answers the Hello whose transcript is `after`."""
    challenge_body, credentials_body, receipt_body = (encode(body) for body in BODIES)
    messages: dict[Step, Message] = {
        Step.HELLO: HELLO,
        Step.IDENTITY: identity(after),
        Step.NOT_READY: NotReady(
            hello=after, model="Raspberry Pi Zero 2 W Rev 1.0", serial="10000000abcdef01", code="nuc.map-missing"
        ),
        Step.CHALLENGE: Challenge(body=challenge_body, signature=b"signed"),
        Step.PROOF: Proof(
            secret=b"x" * 32,
            device_attest=b"a",
            device_signature=b"b",
            srk_attest=b"c",
            srk_signature=b"d",
            csr=b"request",
            nuc_hash=b"sealed",
        ),
        Step.CREDENTIALS: Credentials(body=credentials_body, signature=b"signed"),
        Step.RECEIPT: Receipt(body=receipt_body, signature=b"signed"),
        Step.DONE: Done(),
        Step.REFUSAL: Refusal(code="nuc.hash-malformed"),
    }
    return messages[step]


ALL: Final[tuple[Message, ...]] = tuple(message(step) for step in Step)

HONEST: Final = (
    (Step.HELLO, Role.STATION, State.GREETED),
    (Step.IDENTITY, Role.AGENT, State.IDENTIFIED),
    (Step.CHALLENGE, Role.STATION, State.CHALLENGED),
    (Step.PROOF, Role.AGENT, State.PROVEN),
    (Step.CREDENTIALS, Role.STATION, State.CREDENTIALED),
    (Step.RECEIPT, Role.AGENT, State.STORED),
    (Step.DONE, Role.STATION, State.DONE),
)
"""A successful session: each step, its sender, and the state it leads to."""


def framed(*messages: Message) -> bytes:
    """Return the bytes of these messages on the wire."""
    return b"".join(encode_frame(encode(said)) for said in messages)


def transcript_after(*messages: Message) -> bytes:
    """Return the transcript's digest after these messages."""
    transcript = Transcript()
    for said in messages:
        transcript.absorb(encode(said))
    return transcript.digest()


def session_in(role: Role, state: State) -> Session:
    """Return a session of `role` that an honest conversation brought to `state`, with no outgoing bytes left."""
    other = Session(Role.STATION if role is Role.AGENT else Role.AGENT)
    session = Session(role)
    for step, sender, reached in () if state is State.IDLE else HONEST:
        speaker, listener = (session, other) if sender is role else (other, session)
        speaker.send(message(step, after=session.transcript()))
        assert len(list(listener.receive(speaker.take_outgoing()))) == 1
        assert session.state is other.state is reached
        if session.state is state:
            break
        if state is State.REFUSED:
            other.send(message(Step.REFUSAL))
            assert len(list(session.receive(other.take_outgoing()))) == 1
            break
    assert session.state is state
    return session
