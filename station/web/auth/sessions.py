"""Sessions of browsers, in memory: a restart of the station ends them all."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections import OrderedDict
from dataclasses import dataclass
from typing import Final

READING_SECONDS: Final = 12 * 3600
"""A long shift, for a session that can only read."""

CHANGING_SECONDS: Final = 3600
"""For a session of a token that may make changes."""

SESSIONS_MAX: Final = 1000
"""A new session beyond this ends the oldest."""


@dataclass(frozen=True, slots=True)
class Session:
    """What a browser's cookie stands for."""

    token_id: int | None
    """The bearer token whose end ends the session; None for one that a link opened, which only reads."""
    page_key: bytes | None
    """SHA-256 of the key that the page has besides the cookie; None when it has none, and so makes no change."""
    ends: float
    """In seconds since 1970."""

    def has_key(self, key: str) -> bool:
        return self.page_key is not None and hmac.compare_digest(hashed(key), self.page_key)


class Sessions:
    """Finds sessions by the hash of the cookie's secret."""

    def __init__(self) -> None:
        self._sessions: OrderedDict[bytes, Session] = OrderedDict()

    def open(self, session: Session) -> str:
        """Open a session. Returns its secret, 256 random bits, and keeps only the hash."""
        secret = secrets.token_urlsafe(32)
        self._sessions[hashed(secret)] = session
        if len(self._sessions) > SESSIONS_MAX:
            self._sessions.popitem(last=False)
        return secret

    def find(self, secret: str, now: float) -> Session | None:
        """Return the session; None when there is no such one, or it has expired."""
        session = self._sessions.get(hashed(secret))
        return session if session and now < session.ends else None

    def close(self, secret: str) -> None:
        """End the session, if there is one."""
        self._sessions.pop(hashed(secret), None)


def hashed(secret: str) -> bytes:
    return hashlib.sha256(secret.encode(errors="replace")).digest()
