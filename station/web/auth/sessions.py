"""Sessions of signed-in operators, in memory: a restart of the station signs everybody out."""

from __future__ import annotations

import hashlib
import secrets
from collections import OrderedDict
from typing import Final

SECONDS: Final = 12 * 3600
"""A long shift."""

SESSIONS_MAX: Final = 1000
"""A new session beyond this ends the oldest."""


class Sessions:
    """Each session refers to a bearer token, so that the token's end ends it."""

    def __init__(self) -> None:
        self._tokens: OrderedDict[bytes, tuple[int, float]] = OrderedDict()

    def open(self, token_id: int, now: float) -> str:
        """Open a session. Returns its secret, 256 random bits, and keeps only the hash."""
        secret = secrets.token_urlsafe(32)
        self._tokens[_hash(secret)] = (token_id, now + SECONDS)
        if len(self._tokens) > SESSIONS_MAX:
            self._tokens.popitem(last=False)
        return secret

    def token_of(self, secret: str, now: float) -> int | None:
        """The id of the session's token; None when there is no such session, or it has expired."""
        token_id, ends = self._tokens.get(_hash(secret), (None, 0.0))
        return token_id if now < ends else None

    def close(self, secret: str) -> None:
        """End the session, if there is one."""
        self._tokens.pop(_hash(secret), None)


def _hash(secret: str) -> bytes:
    return hashlib.sha256(secret.encode(errors="replace")).digest()
