"""The decoder of messages, with honest, older, newer and hostile peers."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared import limits
from shared.errors import BirthmarkError
from shared.protocol.messages import (
    Body,
    ChallengeBody,
    CredentialsBody,
    Message,
    Proof,
    ReceiptBody,
    decode,
    decode_body,
    encode,
)
from shared.protocol.states import Step
from tests.harness import samples

HOSTILE_TEXT = "\x1b[2J\u202e<script>evil at `$.evil`"
BIN_HUGE, ARRAY_HUGE, MAP_HUGE = b"\xc6\xff\xff\xff\xff", b"\xdd\xff\xff\xff\xff", b"\xdf\xff\xff\xff\xff"


def fields(message: Message | Body) -> dict[str, Any]:
    decoded: dict[str, Any] = msgspec.msgpack.decode(encode(message))
    return decoded


def raw(value: object) -> bytes:
    return msgspec.msgpack.encode(value)


def with_raw_field(message: Message, name: bytes, value: bytes) -> bytes:
    """Return `message` with one more field, whose value is the bytes `value`, well-formed or not."""
    encoded = encode(message)
    assert 0x80 <= encoded[0] < 0x8F, "a map of fewer than 15 fields"
    return bytes([encoded[0] + 1]) + encoded[1:] + bytes([0xA0 + len(name)]) + name + value


@contextmanager
def only_our_errors() -> Iterator[None]:
    """Let the errors of a message pass, and no others."""
    try:
        yield
    except BirthmarkError as error:
        if not error.code.startswith("message."):
            raise


def code_of(payload: bytes) -> str:
    with pytest.raises(BirthmarkError) as refused:
        decode(payload)
    return refused.value.code


@pytest.mark.parametrize("message", samples.ALL, ids=lambda m: type(m).__name__)
def test_a_message_comes_back_as_it_was_sent(message: Message) -> None:
    assert decode(encode(message)) == message


@pytest.mark.parametrize("body", samples.BODIES, ids=lambda b: type(b).__name__)
def test_a_body_comes_back_as_it_was_sent_and_as_nothing_else(body: Body) -> None:
    assert decode_body(type(body), encode(body)) == body  # type: ignore[type-var]
    for other in samples.BODIES:
        if type(other) is not type(body):
            with pytest.raises(BirthmarkError, match="field-invalid"):
                decode_body(type(other), encode(body))  # type: ignore[type-var]


@pytest.mark.parametrize("message", samples.ALL, ids=lambda m: type(m).__name__)
def test_fields_of_a_later_revision_are_ignored(message: Message) -> None:
    more = {"later": [1, {"deep": b"x"}], "nil": None, "ext": msgspec.msgpack.Ext(5, b"x"), "float": 1.5}
    assert decode(raw(fields(message) | more)) == message
    assert decode(raw(more | fields(message))) == message


@pytest.mark.parametrize("message", samples.ALL, ids=lambda m: type(m).__name__)
@pytest.mark.parametrize("version", [0, 2, -1, 2**64 - 1, -(2**63)])
def test_an_unknown_version_is_refused_by_name(message: Message, version: int) -> None:
    with pytest.raises(BirthmarkError) as refused:
        decode(raw(fields(message) | {"v": version, "nonce": "of another type now"}))
    assert refused.value.code == "message.version-unknown"
    assert refused.value.detail == f"{fields(message)['t']} has version {version}"


@pytest.mark.parametrize("body", samples.BODIES, ids=lambda b: type(b).__name__)
def test_an_unknown_version_of_a_body_is_refused_by_name(body: Body) -> None:
    with pytest.raises(BirthmarkError, match=r"-body has version 2 .*version-unknown"):
        decode_body(type(body), raw(fields(body) | {"v": 2}))  # type: ignore[type-var]


def test_an_unknown_kind_is_refused_by_name() -> None:
    with pytest.raises(BirthmarkError, match=r"greeting \[message.unknown\]"):
        decode(raw({"t": "greeting", "v": 1}))


@pytest.mark.parametrize("message", samples.ALL, ids=lambda m: type(m).__name__)
def test_every_field_is_required_typed_and_bounded(message: Message) -> None:
    known = fields(message)
    optional = {
        "ek_template",
        "certificate",
        "tpm_manufacturer",
        "tpm_firmware",
        "ek_certificate",
        "ek_chain",
        "findings",
    }
    for name in known.keys() - {"t", "v"}:
        if name not in optional:
            without = {key: value for key, value in known.items() if key != name}
            assert code_of(raw(without)) == "message.field-invalid", name
        for bad in (None, 1.5, {"a": 1}, -1, 2**64 - 1, "y" * 20_000, b"y" * 70_000, [b"y"] * 20, "\u202e" * 300):
            if name != "version" or not isinstance(bad, int):
                assert code_of(raw(known | {name: bad})) == "message.field-invalid", (name, bad)


def test_a_chips_chain_has_four_certificates_of_four_kilobytes_at_most() -> None:
    known = fields(samples.message(Step.IDENTITY))
    most = [bytes(4096)] * 4
    assert decode(raw(known | {"ek_chain": most})).ek_chain == tuple(most)  # type: ignore[union-attr]
    for bad in ([bytes(1)] * 5, [bytes(1)] * 200, [bytes(4097)], [b""], b"in one piece"):
        assert code_of(raw(known | {"ek_chain": bad})) == "message.field-invalid"


@pytest.mark.parametrize("name", ["secret", "csr"])
def test_the_field_at_fault_is_named_in_our_words(name: str) -> None:
    with pytest.raises(BirthmarkError, match=rf": {name} \[message.field-invalid\]"):
        decode(raw(fields(samples.message(Step.PROOF)) | {name: 1}))


@pytest.mark.parametrize("message", samples.ALL, ids=lambda m: type(m).__name__)
def test_the_peers_text_is_not_repeated_in_an_error(message: Message) -> None:
    known = fields(message)
    for name in known:
        for bad in (HOSTILE_TEXT, [HOSTILE_TEXT] * 40, {HOSTILE_TEXT: HOSTILE_TEXT}, HOSTILE_TEXT * 1000):
            try:
                decode(raw(known | {name: bad}))
            except BirthmarkError as error:
                told = str(error)
                assert told.isprintable(), name
                assert len(told) < 300, name
                if error.code != "message.unknown":
                    assert "evil" not in told, name


@given(st.binary(max_size=300))
def test_no_bytes_make_it_raise_anything_of_anyone_elses(payload: bytes) -> None:
    with only_our_errors():
        decode(payload)


@given(st.sampled_from(samples.ALL), st.data())
def test_no_damage_to_a_message_makes_it_raise_anything_of_anyone_elses(message: Message, data: st.DataObject) -> None:
    payload = bytearray(encode(message))
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(payload) - 1))
        length = data.draw(st.integers(0, 3))
        payload[at : at + length] = data.draw(st.binary(max_size=4))
        payload = payload or bytearray(b"\xc1")
    for kind in (ChallengeBody, CredentialsBody, ReceiptBody):
        with only_our_errors():
            decode(bytes(payload))
        with only_our_errors():
            decode_body(kind, bytes(payload))  # type: ignore[type-var]


values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats()
    | st.text(max_size=8)
    | st.binary(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)


@given(st.sampled_from(samples.ALL), st.data())
def test_a_field_of_any_other_value_is_refused_or_taken_whole(message: Message, data: st.DataObject) -> None:
    known = fields(message)
    name = data.draw(st.sampled_from(sorted(known)))
    value = data.draw(values)
    with only_our_errors():
        assert fields(decode(raw(known | {name: value})))[name] == value


@pytest.mark.parametrize("opening", [b"\x91", b"\x81\xa1x", b"\x81\x91"], ids=["arrays", "maps", "keys"])
@pytest.mark.parametrize("name", [b"later", b"code"])
def test_a_nesting_bomb_is_malformed(opening: bytes, name: bytes) -> None:
    bomb = opening * ((limits.FRAME_BYTES - 100) // len(opening))
    payload = with_raw_field(samples.message(Step.REFUSAL), name, bomb)
    assert code_of(payload) in ("message.malformed", "message.field-invalid")


@pytest.mark.parametrize("claim", [BIN_HUGE, ARRAY_HUGE, MAP_HUGE, b"\xdb\xff\xff\xff\xff", b"\xc9\xff\xff\xff\xff\1"])
@pytest.mark.parametrize("name", [b"later", b"versions", b"chain", b"nonce", b"station", b"t"])
def test_a_length_that_is_only_claimed_costs_no_memory(claim: bytes, name: bytes) -> None:
    payload = with_raw_field(samples.HELLO, name, claim)
    tracemalloc.start()
    try:
        assert code_of(payload) in ("message.malformed", "message.field-invalid")
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 1 << 20


def test_a_refusal_carries_a_code_and_no_prose() -> None:
    for code in ("", "Sorry", "a b", "x" * 65, "link.lost\n", "é"):
        assert code_of(raw({"t": "refusal", "v": 1, "code": code})) == "message.field-invalid"


def test_a_message_cannot_be_changed_once_made() -> None:
    proof = samples.message(Step.PROOF)
    assert isinstance(proof, Proof)
    with pytest.raises(AttributeError):
        proof.secret = b"y" * 32  # type: ignore[misc]
