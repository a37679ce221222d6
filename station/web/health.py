"""`/health`: whether the station lives, with counts. JSON for whoever watches it."""

from __future__ import annotations

import datetime as dt
import time
from collections import Counter

import msgspec
from aiohttp import web

from station.registry import units
from station.registry.records import UnitState
from station.web import keys


class Health(msgspec.Struct, frozen=True):
    """`service`, `status`, `timestamp` and the totals are what Birthmark's own SMA answers."""

    service: str
    status: str
    version: str
    timestamp: str
    uptime_seconds: int
    total_devices: int
    """Units that are not released."""
    total_tables: int
    units: dict[str, int]
    """By state."""
    ports: dict[str, int]
    """By state; only states that a port is in."""


async def health(request: web.Request) -> web.Response:
    """Raises `registry.unavailable`: a station without its registry is not healthy."""
    app = request.app
    async with app[keys.DATABASE].read() as connection:
        counts = await units.counted(connection)
    now = time.time()
    body = Health(
        service="sma",
        status="healthy",
        version=app[keys.VERSION],
        timestamp=dt.datetime.fromtimestamp(int(now), dt.UTC).isoformat(),
        uptime_seconds=max(0, int(now - app[keys.STARTED])),
        total_devices=sum(count for state, count in counts.items() if state is not UnitState.RELEASED),
        total_tables=app[keys.CONFIG].tables.count,
        units={state.value: count for state, count in counts.items()},
        ports=dict(Counter(port.state.value for port in app[keys.BUS].ports())),
    )
    return web.Response(body=msgspec.json.encode(body), content_type="application/json")
