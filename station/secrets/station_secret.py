"""The station secret: 32 bytes from which every key that protects something at rest is derived. No use of them here.

Whoever holds the data directory without this one file holds sealed master keys, encrypted private keys, and NUC
hashes that cannot be told apart from noise.
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
"""What systemd hands it over as: LoadCredential=station.key:PATH, or LoadCredentialEncrypted=."""
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
        """From systemd's credentials where it is among them, else from the data directory."""
        with (credential(_CREDENTIAL) or data_dir / SECRET_NAME).open("rb") as file:
            return cls(file.read(_BYTES + 1))

    @staticmethod
    def supplied() -> tuple[str, ...]:
        """The data directory's file that need not be there, because systemd hands over what it would hold."""
        return (SECRET_NAME,) if credential(_CREDENTIAL) else ()

    def value(self) -> bytes:
        """For writing it to its file, and for nothing else."""
        return self._value

    def key(self, purpose: str) -> bytes:
        """32 bytes for one purpose."""
        return HKDF(hashes.SHA256(), 32, None, b"birthmark station " + purpose.encode()).derive(self._value)

    def __repr__(self) -> str:
        return "StationSecret(hidden)"
