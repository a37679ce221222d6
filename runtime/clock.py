"""The system's clock, which only this module asks, and how a time is told. What needs the time is given a `Clock`."""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Final, TypeAlias

Clock: TypeAlias = Callable[[], float]
"""Returns seconds since 1970, UTC."""

SYSTEM_CLOCK: Final[Clock] = time.time


def unix_time(clock: Clock = SYSTEM_CLOCK) -> int:
    """Return seconds since 1970, UTC."""
    return int(clock())


def utc_now(clock: Clock = SYSTEM_CLOCK) -> dt.datetime:
    """Return the time with its zone, UTC."""
    return dt.datetime.fromtimestamp(clock(), dt.UTC)


def iso_time(seconds: float) -> str:
    """Tell a time to programs: ISO 8601, UTC, whole seconds. `seconds` since 1970."""
    return dt.datetime.fromtimestamp(int(seconds), dt.UTC).isoformat()


def local_time(seconds: float) -> str:
    """Tell a time to people: date, hours and minutes in this machine's time zone. `seconds` since 1970."""
    moment = dt.datetime.fromtimestamp(seconds, dt.UTC)
    with suppress(OverflowError):  # RFC 5280's "no end" is the last second of the last year: it is told in UTC
        moment = moment.astimezone()
    return moment.strftime("%Y-%m-%d %H:%M")
