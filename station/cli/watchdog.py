"""Tells systemd's watchdog that the station's event loop turns."""

from __future__ import annotations

import asyncio
import os
from typing import Final

from runtime.systemd import meant_for_us, notify

_PARTS_OF_INTERVAL: Final = 3
"""How often in one watchdog interval the service says that it lives; systemd advises at least two."""


async def keep_watchdog() -> None:
    """Say that the event loop turns, as often as `WATCHDOG_USEC` asks, until cancelled; only wait where it does not."""
    interval = os.environ.get("WATCHDOG_USEC", "")
    if not interval.isascii() or not interval.isdigit() or int(interval) == 0 or not meant_for_us("WATCHDOG_PID"):
        await asyncio.Event().wait()
    while True:
        notify(watchdog=True)
        await asyncio.sleep(int(interval) / 1_000_000 / _PARTS_OF_INTERVAL)
