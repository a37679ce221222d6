"""Fixtures of the backup tests."""

from __future__ import annotations

import hashlib

import pytest

from station.setup.backup import sealed_file


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Derive keys cheaply, for tests that open thousands of files."""

    class Cheap:
        def __init__(self, salt: bytes, length: int, **_costs: int) -> None:
            self._salt, self._length = salt, length

        def derive(self, passphrase: bytes) -> bytes:
            return hashlib.sha256(self._salt + passphrase).digest()[: self._length]

    monkeypatch.setattr(sealed_file, "Scrypt", Cheap)
