"""The transcript: a running SHA-256 over every frame of a session; both ends keep it, everything is bound to it."""

from __future__ import annotations

import hashlib


class Transcript:
    """Absorbs frame payloads in the order both ends see them. Each is preceded by its length, so frames cannot run
    into one another."""

    def __init__(self) -> None:
        self._hash = hashlib.sha256(b"birthmark session\0")

    def absorb(self, payload: bytes) -> None:
        self._hash.update(len(payload).to_bytes(4, "big"))
        self._hash.update(payload)

    def digest(self) -> bytes:
        """32 bytes over all frames so far."""
        return self._hash.digest()
