"""The blind index: stable under one station secret, unlike under another, and never the NUC hash itself."""

from __future__ import annotations

import hashlib
import hmac

from cryptography.hazmat.primitives.asymmetric import ec

from shared.types import NucHash
from station.secrets.blind_index import BlindIndex, key_fingerprint
from station.secrets.station_secret import StationSecret

NUC = NucHash(bytes(range(32)))
SECRET = StationSecret(b"s" * 32)

GENERATOR = (
    "6b17d1f2e12c4247f8bce6e563a440f277037d812deb33a0f4a13945d898c296"
    "4fe342e2fe1a7f9b8ee7eb4a7c0f9e162bce33576b315ececbb6406837bf51f5"
)
"""P-256's base point (SP 800-186, 3.2.1.3): the public key of the private key 1."""


def test_a_blind_index_is_an_hmac_under_a_key_of_its_own() -> None:
    """Computed as RFC 5869 says, because the indexes in a registry must stay valid as long as it is used."""
    extracted = hmac.digest(bytes(32), b"s" * 32, hashlib.sha256)
    key = hmac.digest(extracted, b"birthmark station nuc index\x01", hashlib.sha256)
    assert BlindIndex(SECRET).of(NUC) == hmac.digest(key, bytes(range(32)), hashlib.sha256)


def test_a_nuc_hash_and_its_bytes_have_one_index() -> None:
    assert BlindIndex(SECRET).of_bytes(NUC.secret()) == BlindIndex(SECRET).of(NUC)


def test_content_that_is_no_nuc_hash_has_an_index_too() -> None:
    found = {BlindIndex(SECRET).of_bytes(content) for content in (b"", b"short", bytes(32), bytes(1000))}
    assert len(found) == 4
    assert {len(index) for index in found} == {32}


def test_another_station_secret_gives_another_index() -> None:
    assert BlindIndex(SECRET).of(NUC) != BlindIndex(StationSecret(b"t" * 32)).of(NUC)


def test_a_keys_fingerprint_is_the_digest_of_its_spki() -> None:
    head = bytes.fromhex("3059301306072a8648ce3d020106082a8648ce3d03010703420004")  # RFC 5480: id-ecPublicKey, P-256
    public = ec.derive_private_key(1, ec.SECP256R1()).public_key()
    assert key_fingerprint(public) == hashlib.sha256(head + bytes.fromhex(GENERATOR)).digest()
