"""When this agent was built. `make release` writes it."""

from __future__ import annotations

import datetime as dt
from typing import Final

BUILD_DATE: Final = dt.datetime(2026, 11, 24, tzinfo=dt.UTC)
"""No honest clock shows an earlier time to this agent."""
