"""The system's clock, asked in one place."""

from __future__ import annotations

import datetime as dt


def unix_time() -> int:
    """Seconds since 1970."""
    return int(dt.datetime.now(dt.UTC).timestamp())
