"""Background tasks of the application, for the metrics: count ended sessions, check the audit log regularly."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Final

from aiohttp import web

from shared.errors import BirthmarkError
from station.events import PortChanged, PortState
from station.registry import audit_check
from station.web import app_keys

log = logging.getLogger(__name__)

AUDIT_SECONDS: Final = 6 * 3600.0
"""Pause between two checks: each reads the whole log, about 5 s for a million rows."""

STOP_SECONDS: Final = 10.0
"""How long a stop waits for a running check."""

_RETRY_SECONDS: Final = 60.0


async def run(app: web.Application) -> AsyncIterator[None]:
    """Run the tasks: a cleanup context of the application."""
    counting, checking = asyncio.create_task(_count_sessions(app)), asyncio.create_task(_check_audit(app))
    yield
    counting.cancel()
    app[app_keys.CLOSING].set()
    # A cancelled query leaves its connection to the garbage collector, so let the check finish.
    await asyncio.wait([checking], timeout=STOP_SECONDS)
    checking.cancel()
    for task in (counting, checking):
        with suppress(asyncio.CancelledError):
            await task


async def _count_sessions(app: web.Application) -> None:
    counter = app[app_keys.METRICS].sessions
    with app[app_keys.SERVICES].bus.listen() as events:
        while True:
            match await events.get():
                case PortChanged(state=PortState.DONE):
                    counter.labels("done", "").inc()
                case PortChanged(state=PortState.FAILED, code=code):
                    counter.labels("failed", code).inc()


async def _check_audit(app: web.Application) -> None:
    closing = app[app_keys.CLOSING]
    while not closing.is_set():
        pause = AUDIT_SECONDS
        try:
            await check_audit(app)
        except BirthmarkError as error:
            log.warning("the audit log could not be checked: %s", error)
            pause = _RETRY_SECONDS
        with suppress(TimeoutError):
            async with asyncio.timeout(pause):
                await closing.wait()


async def check_audit(app: web.Application) -> None:
    """Check the log and set the metrics. Raises `registry.unavailable`; then the metrics keep their values."""
    metrics = app[app_keys.METRICS]
    async with app[app_keys.SERVICES].database.read() as connection:
        found = await audit_check.verify(connection)
    for problem in found.problems:
        log.error("the audit log is not whole: %s", problem.sentence)
    metrics.audit_intact.set(0 if found.problems else 1)
    metrics.audit_rows.set(found.rows)
    metrics.audit_checked.set(app[app_keys.SERVICES].clock())
