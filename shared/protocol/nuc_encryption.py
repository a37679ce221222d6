"""Encrypts the NUC hash on the cable: HPKE (RFC 9180, base mode, DHKEM(P-256), HKDF-SHA256, AES-256-GCM).

HPKE's `info` contains the session's transcript.
"""

from __future__ import annotations

from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hpke import AEAD, KDF, KEM, Suite
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from shared.errors import BirthmarkError
from shared.types import NucHash

_HPKE: Final = Suite(KEM.P256, KDF.HKDF_SHA256, AEAD.AES_256_GCM)
_NUC_INFO: Final = b"birthmark nuc hash\0"


class NucHashDecryptor:
    """The station's end of HPKE: a key pair for one session."""

    def __init__(self, private: ec.EllipticCurvePrivateKey) -> None:
        """`private` is a fresh P-256 key, used for one session only."""
        self._private = private

    @property
    def public(self) -> bytes:
        """65 bytes, uncompressed point."""
        return self._private.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)

    def open(self, sealed: bytes, transcript: bytes) -> NucHash:
        """Decrypt the NUC hash. Raises `nuc.not-sealed-here` for another session's, `nuc.hash-*` for its content."""
        try:
            opened = _HPKE.decrypt(sealed, self._private, _NUC_INFO + transcript)
        except (InvalidTag, ValueError):
            raise BirthmarkError("nuc.not-sealed-here") from None
        return NucHash(opened)


def encrypt_nuc_hash(nuc_hash: NucHash, station_key: bytes, transcript: bytes) -> bytes:
    """Return encapsulated key, ciphertext and tag. Raises `session.challenge-malformed` for an invalid station key."""
    try:
        public = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), station_key)
    except ValueError:
        raise BirthmarkError("session.challenge-malformed", "its HPKE key is not a point of P-256") from None
    return _HPKE.encrypt(nuc_hash.secret(), public, _NUC_INFO + transcript)
