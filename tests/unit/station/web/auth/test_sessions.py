"""Browsers' sessions end, and their number is limited."""

from __future__ import annotations

from station.web.auth.sessions import SESSIONS_MAX, Session, Sessions, hashed


def test_a_session_ends_in_time_and_there_are_so_many() -> None:
    sessions = Sessions()
    session = Session(7, None, ends=100.0)
    secret = sessions.open(session)
    assert sessions.find(secret, 99.0) == session
    assert sessions.find(secret, 100.0) is None
    assert sessions.find("", 0.0) is None
    for _ in range(SESSIONS_MAX):
        sessions.open(Session(8, None, ends=100.0))
    assert sessions.find(secret, 1.0) is None


def test_only_its_own_key_is_a_sessions_key() -> None:
    assert Session(7, hashed("key"), 1.0).has_key("key")
    for wrong in ("", "kez", "key "):
        assert not Session(7, hashed("key"), 1.0).has_key(wrong)
        assert not Session(7, None, 1.0).has_key(wrong)
