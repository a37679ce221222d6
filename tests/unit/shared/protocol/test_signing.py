"""What signatures in a session cover, and that none is valid as another."""

from __future__ import annotations

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given
from hypothesis import strategies as st

from shared.errors import BirthmarkError
from shared.protocol.messages import ChallengeBody, CredentialsBody, ReceiptBody
from shared.protocol.signing import signed_bytes, stored_digest, verify_signature
from shared.types import NucHash, TableId, table_id

TRANSCRIPT = bytes(range(32))
NUC_HASH = NucHash(b"n" * 32)
KEY = ec.generate_private_key(ec.SECP256R1())
KINDS = (ChallengeBody, CredentialsBody, ReceiptBody)


def sign(data: bytes, key: ec.EllipticCurvePrivateKey = KEY) -> bytes:
    return key.sign(data, ec.ECDSA(hashes.SHA256()))


def test_a_signature_covers_kind_transcript_and_body() -> None:
    assert signed_bytes(ReceiptBody, TRANSCRIPT, b"body") == b"birthmark receipt-body\0" + TRANSCRIPT + b"body"


@given(
    st.binary(min_size=32, max_size=32),
    st.binary(max_size=40),
    st.binary(min_size=32, max_size=32),
    st.binary(max_size=40),
)
def test_no_two_things_to_sign_are_the_same_bytes(one: bytes, body: bytes, other: bytes, other_body: bytes) -> None:
    things = {(kind, t, b) for kind in KINDS for t, b in ((one, body), (other, other_body))}
    assert len({signed_bytes(*thing) for thing in things}) == len(things)


def test_a_signature_is_taken_and_any_other_is_refused_with_the_callers_code() -> None:
    data = signed_bytes(ReceiptBody, TRANSCRIPT, b"body")
    verify_signature(KEY.public_key(), sign(data), data, "session.receipt-forged")
    stranger = ec.generate_private_key(ec.SECP256R1())
    for forged in (
        sign(data, stranger),
        sign(data + b"x"),
        sign(data)[:-1],
        sign(data) + b"\0",
        b"",
        b"\x30\x00",
        b"x" * 256,
    ):
        with pytest.raises(BirthmarkError) as refused:
            verify_signature(KEY.public_key(), forged, data, "session.receipt-forged")
        assert refused.value.code == "session.receipt-forged"


def test_the_stored_digest_tells_chains_and_tables_apart() -> None:
    tables = (table_id(1), table_id(23), table_id(456))
    digests = {
        stored_digest((b"leaf", b"root"), tables),
        stored_digest((b"leafroot",), tables),
        stored_digest((b"leaf", b"root", b""), tables),
        stored_digest((b"root", b"leaf"), tables),
        stored_digest((b"leaf", b"root"), tables[:2]),
        stored_digest((b"leaf", b"root"), tuple(reversed(tables))),
        stored_digest((b"leaf", b"root"), (table_id(12), TableId(3), TableId(456))),
    }
    assert len(digests) == 7
    assert {len(digest) for digest in digests} == {32}
