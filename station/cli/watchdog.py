"""Tells systemd's watchdog that the station's event loop runs."""

from __future__ import annotations

import asyncio
import os
from typing import Final

from runtime.systemd import meant_for_us, notify

_PARTS_OF_INTERVAL: Final = 3
"""Notifications in one watchdog interval; systemd advises at least two."""


async def keep_watchdog() -> None:
    """Notify the watchdog as often as `WATCHDOG_USEC` asks, until cancelled; without it, only wait."""
    interval = os.environ.get("WATCHDOG_USEC", "")
    if not interval.isascii() or not interval.isdigit() or int(interval) == 0 or not meant_for_us("WATCHDOG_PID"):
        await asyncio.Event().wait()
    while True:
        notify(watchdog=True)
        await asyncio.sleep(int(interval) / 1_000_000 / _PARTS_OF_INTERVAL)
