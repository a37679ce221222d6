"""Key derivation in software: Birthmark's vectors, and cryptography's HKDF as a second opinion."""

from __future__ import annotations

import pytest
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from hypothesis import given
from hypothesis import strategies as st

from shared.birthmark.derivation import expand, extract, token_key
from shared.errors import BirthmarkError
from shared.types import MasterKey, key_index
from tests.harness.vectors import DERIVATIONS, Derivation

indices = st.integers(0, 999).map(key_index)


def test_the_vectors_are_there_and_reach_both_ends_of_the_range() -> None:
    assert len(DERIVATIONS) >= 20
    assert {0, 999} <= {row.key_index for row in DERIVATIONS}


@pytest.mark.parametrize("row", DERIVATIONS, ids=lambda row: f"{row.master_key.secret().hex()[:4]}-{row.key_index}")
def test_every_vector_agrees_to_the_byte(row: Derivation) -> None:
    index = key_index(row.key_index)
    assert extract(row.master_key) == row.prk
    assert token_key(row.master_key, index) == row.derived_key
    assert expand(row.prk, index) == row.derived_key


@given(st.binary(min_size=32, max_size=32), indices)
def test_it_is_hkdf_of_rfc_5869_as_others_wrote_it(master_key: bytes, index: int) -> None:
    info = index.to_bytes(4, "big") + b"Birthmark"
    theirs = HKDF(algorithm=SHA256(), length=32, salt=None, info=info).derive(master_key)
    assert token_key(MasterKey(master_key), key_index(index)).secret() == theirs


@pytest.mark.parametrize("length", [0, 16, 31, 33, 64])
def test_a_master_key_of_another_length_is_refused_by_its_length_only(length: int) -> None:
    with pytest.raises(BirthmarkError, match=rf"it has {length} bytes, not 32 \[table.master-key-malformed\]"):
        MasterKey(b"\x5a" * length)
