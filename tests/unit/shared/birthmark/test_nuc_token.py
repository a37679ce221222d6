"""NUC tokens agree with Birthmark's vectors, and a changed token fails."""

from __future__ import annotations

import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.birthmark.derivation import token_key
from shared.birthmark.nuc_token import NucToken, open_token, seal_token
from shared.types import NucHash, TokenKey, key_index, table_id
from tests.harness.vectors import TOKENS, Token

secrets = st.binary(min_size=32, max_size=32)
keys = secrets.map(TokenKey)
hashes = secrets.filter(any).map(NucHash)
nonces = st.binary(min_size=12, max_size=12)


@pytest.mark.parametrize("row", TOKENS, ids=lambda row: f"table-{row.table_id}")
def test_every_vector_agrees_to_the_byte_and_opens(row: Token) -> None:
    table, index = table_id(row.table_id), key_index(row.key_index)
    key = token_key(row.master_key, index)
    token = seal_token(key, row.nonce, NucHash(row.nuc_hash), table, index)
    assert json.loads(msgspec.json.encode(token)) == {
        "ciphertext": row.ciphertext.hex(),
        "auth_tag": row.auth_tag.hex(),
        "nonce": row.nonce.hex(),
        "table_id": row.table_id,
        "key_index": row.key_index,
    }
    assert open_token(key, token) == row.nuc_hash


@given(keys, nonces, hashes, st.integers(0, 2499), st.integers(0, 999))
def test_a_sealed_token_opens_again_also_in_upper_case(
    key: TokenKey, nonce: bytes, nuc_hash: NucHash, table: int, index: int
) -> None:
    token = seal_token(key, nonce, nuc_hash, table_id(table), key_index(index))
    assert open_token(key, token) == nuc_hash.secret()
    shouted = {
        name: value.upper() if isinstance(value, str) else value for name, value in msgspec.to_builtins(token).items()
    }
    assert open_token(key, msgspec.convert(shouted, NucToken)) == nuc_hash.secret()


@given(keys, nonces, hashes, st.sampled_from(["ciphertext", "auth_tag", "nonce"]), st.data())
def test_a_token_with_any_bit_changed_does_not_open(
    key: TokenKey, nonce: bytes, nuc_hash: NucHash, field: str, data: st.DataObject
) -> None:
    token = seal_token(key, nonce, nuc_hash, table_id(0), key_index(0))
    octets = bytearray.fromhex(getattr(token, field))
    octets[data.draw(st.integers(0, len(octets) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    assert open_token(key, msgspec.structs.replace(token, **{field: octets.hex()})) is None


@given(keys, keys, nonces, hashes)
def test_a_token_opens_under_its_own_key_only(key: TokenKey, other: TokenKey, nonce: bytes, nuc_hash: NucHash) -> None:
    token = seal_token(key, nonce, nuc_hash, table_id(0), key_index(0))
    if key != other:
        assert open_token(other, token) is None


@pytest.mark.parametrize(
    ("field", "bad"),
    [
        ("ciphertext", "ab" * 31),
        ("ciphertext", "ab" * 33),
        ("ciphertext", "zz" * 32),
        ("ciphertext", "ab" * 32 + "\n"),
        ("auth_tag", "ab" * 15),
        ("auth_tag", " " * 32),
        ("nonce", "ab" * 13),
        ("nonce", "٠" * 24),
        ("nonce", None),
        ("table_id", -1),
        ("table_id", 2500),
        ("table_id", "0"),
        ("key_index", 1000),
        ("key_index", 10**30),
        ("key_index", True),
    ],
)
def test_json_that_is_no_token_does_not_become_one(field: str, bad: object) -> None:
    good = {"ciphertext": "ab" * 32, "auth_tag": "ab" * 16, "nonce": "ab" * 12, "table_id": 0, "key_index": 0}
    assert msgspec.json.decode(json.dumps(good), type=NucToken)
    with pytest.raises(msgspec.ValidationError):
        msgspec.json.decode(json.dumps(good | {field: bad}), type=NucToken)
