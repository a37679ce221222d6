"""The sessions of signed-in operators end, and their number is limited."""

from __future__ import annotations

from station.web.auth.sessions import SECONDS, SESSIONS_MAX, Sessions


def test_a_session_ends_after_a_shift_and_there_are_so_many() -> None:
    sessions = Sessions()
    secret = sessions.open(7, now=0.0)
    assert sessions.token_of(secret, SECONDS - 1) == 7
    assert sessions.token_of(secret, SECONDS) is None
    assert sessions.token_of("", 0.0) is None
    for _ in range(SESSIONS_MAX):
        sessions.open(8, now=0.0)
    assert sessions.token_of(secret, 1.0) is None
