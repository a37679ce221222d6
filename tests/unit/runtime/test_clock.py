"""The clock is the system's, in whole seconds since 1970, UTC."""

from __future__ import annotations

import datetime as dt
import time

import pytest

from runtime.clock import iso_time, local_time, unix_time, utc_now


@pytest.mark.parametrize("zone", ["UTC", "Pacific/Kiritimati", "America/Los_Angeles"])
def test_the_time_zone_of_the_machine_makes_no_difference(zone: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patched:
        patched.setenv("TZ", zone)
        time.tzset()
        before, now, after = int(time.time()), unix_time(), int(time.time())
    time.tzset()
    assert before <= now <= after
    assert isinstance(now, int)


def test_a_given_clock_is_asked_instead() -> None:
    assert unix_time(lambda: 1_795_000_000.9) == 1_795_000_000
    assert utc_now(lambda: 0.0) == dt.datetime(1970, 1, 1, tzinfo=dt.UTC)


def test_programs_are_told_a_time_in_utc_and_people_in_their_zone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "Asia/Kathmandu")
    time.tzset()
    try:
        assert iso_time(1_795_500_000.9) == "2026-11-24T06:00:00+00:00"
        assert local_time(1_795_500_000) == "2026-11-24 11:45"
        assert local_time(253_402_300_799) == "9999-12-31 23:59"  # a certificate without an end (RFC 5280)
    finally:
        monkeypatch.undo()
        time.tzset()
