"""Operators who are signed in to the page. Lives in memory: a restart of the station signs everybody out."""

from __future__ import annotations

import hashlib
import secrets
from collections import OrderedDict
from typing import Final

SECONDS: Final = 12 * 3600
"""A long shift."""

SESSIONS_MAX: Final = 1000
"""The oldest one makes room."""


class Sessions:
    """Each stands for a bearer token, so that what ends the token ends them."""

    def __init__(self) -> None:
        self._tokens: OrderedDict[bytes, tuple[int, float]] = OrderedDict()

    def open(self, token_id: int, now: float) -> str:
        """A new session's secret, 256 random bits; only its hash is kept."""
        secret = secrets.token_urlsafe(32)
        self._tokens[_hash(secret)] = (token_id, now + SECONDS)
        if len(self._tokens) > SESSIONS_MAX:
            self._tokens.popitem(last=False)
        return secret

    def token_of(self, secret: str, now: float) -> int | None:
        """The id of the token it stands for; None when there is no such session, or no longer."""
        token_id, ends = self._tokens.get(_hash(secret), (None, 0.0))
        return token_id if now < ends else None

    def close(self, secret: str) -> None:
        """Safe to call again."""
        self._tokens.pop(_hash(secret), None)


def _hash(secret: str) -> bytes:
    return hashlib.sha256(secret.encode(errors="replace")).digest()
