"""What the registry knows a NUC hash by: a keyed index that says nothing without the station secret."""

from __future__ import annotations

import hashlib
import hmac
from typing import Final

from shared.types import NucHash
from station.secret import StationSecret

_PURPOSE: Final = "nuc index"


class NucIndex:
    """HMAC-SHA256 under a key of the station secret: 32 bytes, the same for the same NUC hash."""

    def __init__(self, secret: StationSecret) -> None:
        self._key = secret.key(_PURPOSE)

    def of(self, nuc_hash: NucHash) -> bytes:
        return self.of_bytes(nuc_hash.secret())

    def of_bytes(self, value: bytes) -> bytes:
        """For what came out of a token, before anybody knows whether it is a NUC hash."""
        return hmac.digest(self._key, value, hashlib.sha256)
