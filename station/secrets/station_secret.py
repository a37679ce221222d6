"""The station secret: 32 bytes from which the station derives every key that protects data at rest.

Without this one file, the data directory holds only encrypted master keys and private keys, and blind indexes that
cannot be told from random bytes.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from runtime.systemd import credential
from shared.errors import BirthmarkError

SECRET_NAME: Final = "secrets/station.key"  # noqa: S105 - a path
_CREDENTIAL: Final = "station.key"
"""The name of the systemd credential: LoadCredential=station.key:PATH, or LoadCredentialEncrypted=."""
_BYTES: Final = 32


class StationSecret:
    """Derives keys by purpose (HKDF-SHA256, RFC 5869). Its value is in no `repr`."""

    def __init__(self, value: bytes) -> None:
        if len(value) != _BYTES:
            raise BirthmarkError("data.incomplete", f"the station secret has {len(value)} bytes, not {_BYTES}")
        self._value = value

    @classmethod
    def generate(cls) -> StationSecret:
        return cls(os.urandom(_BYTES))

    @classmethod
    def load(cls, data_dir: Path) -> StationSecret:
        """Load the secret from systemd's credentials if it is among them, else from the data directory."""
        with (credential(_CREDENTIAL) or data_dir / SECRET_NAME).open("rb") as file:
            return cls(file.read(_BYTES + 1))

    @staticmethod
    def supplied() -> tuple[str, ...]:
        """The files that the data directory need not hold, because systemd supplies them as credentials."""
        return (SECRET_NAME,) if credential(_CREDENTIAL) else ()

    def value(self) -> bytes:
        """Return the 32 bytes, only for writing them to their file."""
        return self._value

    def key(self, purpose: str) -> bytes:
        """Derive the key for one purpose: 32 bytes."""
        return HKDF(hashes.SHA256(), 32, None, b"birthmark station " + purpose.encode()).derive(self._value)

    def __repr__(self) -> str:
        return "StationSecret(hidden)"
