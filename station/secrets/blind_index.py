"""The blind index of a NUC hash: the registry finds a unit by it, and it reveals nothing without the station secret."""

from __future__ import annotations

import hashlib
import hmac
from typing import Final

from cryptography.hazmat.primitives.asymmetric.types import PublicKeyTypes
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from shared.types import NucHash
from station.secrets.station_secret import StationSecret

_PURPOSE: Final = "nuc index"


class BlindIndex:
    """HMAC-SHA256 under a key of the station secret: 32 bytes, the same for the same NUC hash."""

    def __init__(self, secret: StationSecret) -> None:
        self._key = secret.key(_PURPOSE)

    def of(self, nuc_hash: NucHash) -> bytes:
        return self.of_bytes(nuc_hash.secret())

    def of_bytes(self, value: bytes) -> bytes:
        """The index of a decrypted token's content, which may not be a NUC hash."""
        return hmac.digest(self._key, value, hashlib.sha256)


def key_fingerprint(key: PublicKeyTypes) -> bytes:
    """SHA-256 of the SubjectPublicKeyInfo, DER: 32 bytes."""
    return hashlib.sha256(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).digest()
