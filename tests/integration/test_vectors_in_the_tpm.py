"""Keys derived by a TPM and by software agree with the vectors, byte for byte."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from device_agent.storage.tpm_blob import Blob
from device_agent.tpm import Simulator, Tpm
from shared.birthmark.derivation import expand_input, extract, token_key
from shared.birthmark.nuc_token import open_token, seal_token
from shared.types import MasterKey, NucHash, TableKey, TokenKey, key_index, table_id
from station.attestation.tpm2.structures import read_public
from station.attestation.tpm2.wrapping import wrap_table_key
from tests.harness.vectors import DERIVATIONS, TOKENS, Derivation, Token


@pytest.fixture(scope="module")
def tpm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tpm]:
    state = tmp_path_factory.mktemp("state")
    state.chmod(0o700)
    with Simulator(state) as simulator:
        opened = Tpm.open(simulator.tcti)
        yield opened
        opened.close()


def imported(tpm: Tpm, table_key: TableKey) -> Blob:
    """Import a key that is wrapped as a station does."""
    wrapped = wrap_table_key(read_public(tpm.public_areas().srk), table_key)
    return tpm.import_key(wrapped.public, wrapped.duplicate, wrapped.seed)


def test_there_are_vectors() -> None:
    assert len(DERIVATIONS) >= 20
    assert len(TOKENS) >= 3


@pytest.mark.parametrize("row", DERIVATIONS, ids=lambda row: f"{row.master_key.secret().hex()[:8]}-{row.key_index}")
def test_a_token_key_is_the_same_in_the_tpm_in_software_and_in_the_vectors(tpm: Tpm, row: Derivation) -> None:
    index = key_index(row.key_index)
    assert extract(row.master_key) == row.prk
    assert tpm.hmac(imported(tpm, row.prk), expand_input(index)) == row.derived_key.secret()
    assert token_key(row.master_key, index) == row.derived_key


@pytest.mark.parametrize("row", TOKENS, ids=lambda row: f"table {row.table_id}, index {row.key_index}")
def test_a_token_made_with_the_tpms_key_is_the_vectors_token(tpm: Tpm, row: Token) -> None:
    index = key_index(row.key_index)
    key = TokenKey(tpm.hmac(imported(tpm, extract(row.master_key)), expand_input(index)))
    token = seal_token(key, row.nonce, NucHash(row.nuc_hash), table_id(row.table_id), index)
    assert (token.ciphertext, token.auth_tag) == (row.ciphertext.hex(), row.auth_tag.hex())
    assert (token.nonce, token.table_id, token.key_index) == (row.nonce.hex(), row.table_id, row.key_index)
    assert open_token(token_key(row.master_key, index), token) == row.nuc_hash


@settings(max_examples=40, deadline=None)
@given(master=st.binary(min_size=32, max_size=32).map(MasterKey), index=st.integers(0, 999))
def test_the_tpm_derives_what_software_derives_for_any_master_key_and_index(
    tpm: Tpm, master: MasterKey, index: int
) -> None:
    number = key_index(index)
    assert tpm.hmac(imported(tpm, extract(master)), expand_input(number)) == token_key(master, number).secret()
