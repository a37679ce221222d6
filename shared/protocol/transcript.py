"""The transcript: a running SHA-256 over every frame of a session, which both ends keep and every signature covers."""

from __future__ import annotations

import hashlib


class Transcript:
    """Hashes frame payloads in the order both ends see them, each after its length, so that their bounds are fixed."""

    def __init__(self) -> None:
        self._hash = hashlib.sha256(b"birthmark session\0")

    def absorb(self, payload: bytes) -> None:
        self._hash.update(len(payload).to_bytes(4, "big"))
        self._hash.update(payload)

    def digest(self) -> bytes:
        """Return 32 bytes over all frames so far."""
        return self._hash.digest()
