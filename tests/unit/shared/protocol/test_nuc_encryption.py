"""The NUC hash under HPKE opens only in its own session at its own station."""

from __future__ import annotations

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given
from hypothesis import strategies as st

from shared import limits
from shared.errors import BirthmarkError
from shared.protocol.nuc_encryption import NucHashDecryptor, encrypt_nuc_hash
from shared.types import NucHash

TRANSCRIPT = bytes(range(32))
NUC_HASH = NucHash(b"n" * 32)


def decryptor() -> NucHashDecryptor:
    return NucHashDecryptor(ec.generate_private_key(ec.SECP256R1()))


def test_a_nuc_hash_opens_at_the_station_it_was_sealed_for_and_never_looks_the_same() -> None:
    opener = decryptor()
    sealed = encrypt_nuc_hash(NUC_HASH, opener.public, TRANSCRIPT)
    assert opener.open(sealed, TRANSCRIPT) == NUC_HASH
    assert sealed != encrypt_nuc_hash(NUC_HASH, opener.public, TRANSCRIPT)
    assert NUC_HASH.secret() not in sealed
    assert len(sealed) <= limits.SEALED_BYTES
    assert len(opener.public) == 65


def test_the_nuc_hash_opens_in_no_other_session_and_at_no_other_station() -> None:
    opener = decryptor()
    sealed = encrypt_nuc_hash(NUC_HASH, opener.public, TRANSCRIPT)
    for other, transcript in ((opener, TRANSCRIPT[::-1]), (decryptor(), TRANSCRIPT)):
        with pytest.raises(BirthmarkError, match=r"nuc\.not-sealed-here"):
            other.open(sealed, transcript)


OPENER = decryptor()
SEALED = encrypt_nuc_hash(NUC_HASH, OPENER.public, TRANSCRIPT)


@given(st.one_of(st.binary(max_size=256), st.integers(0, len(SEALED)).map(lambda n: SEALED[:n] + SEALED[n + 1 :])))
def test_a_wrong_ciphertext_raises_only_the_nuc_error(sealed: bytes) -> None:
    if sealed != SEALED:
        with pytest.raises(BirthmarkError, match=r"nuc\.not-sealed-here"):
            OPENER.open(sealed, TRANSCRIPT)


@pytest.mark.parametrize("at", [0, 1, 64, 65, 96, 97, 112])
def test_a_bit_changed_anywhere_is_noticed(at: int) -> None:
    changed = bytearray(SEALED)
    changed[at] ^= 1
    with pytest.raises(BirthmarkError, match=r"nuc\.not-sealed-here"):
        OPENER.open(bytes(changed), TRANSCRIPT)


@pytest.mark.parametrize("key", [b"", b"\0", b"\x04" + b"\0" * 64, b"\x04" + b"\xff" * 64, b"x" * 65])
def test_a_key_that_is_no_point_of_the_curve_gets_no_secret(key: bytes) -> None:
    with pytest.raises(BirthmarkError, match=r"session\.challenge-malformed"):
        encrypt_nuc_hash(NUC_HASH, key, TRANSCRIPT)


def test_an_all_zero_hash_inside_a_good_seal_is_still_no_hash() -> None:
    forged = NucHash(b"n" * 32)
    forged._value = b"\0" * 32  # a dishonest device
    with pytest.raises(BirthmarkError, match=r"nuc\.hash-zeros"):
        OPENER.open(encrypt_nuc_hash(forged, OPENER.public, TRANSCRIPT), TRANSCRIPT)
