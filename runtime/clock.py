"""Reads the system's clock."""

from __future__ import annotations

import datetime as dt


def unix_time() -> int:
    """Return seconds since 1970, UTC."""
    return int(dt.datetime.now(dt.UTC).timestamp())
