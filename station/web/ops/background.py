"""Background tasks of the application: count ended sessions, check the audit log and store counts regularly."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Final

from aiohttp import web

from shared.errors import BirthmarkError
from station.events import NoticeChanged, PortChanged, PortState, Topic
from station.registry import audit_check, validations
from station.web import app_keys
from station.web.views.overview import often_validated

log = logging.getLogger(__name__)

AUDIT_SECONDS: Final = 6 * 3600.0
"""Pause between two checks: each reads the whole log, about 5 s for a million rows."""

STOP_SECONDS: Final = 10.0
"""How long a stop waits for a running check."""

_RETRY_SECONDS: Final = 60.0

STORE_SECONDS: Final = 10.0
"""How long counts of validations wait: what is lost when the station dies."""

_NAMED: Final = 3
"""Units that the notice names."""


async def run(app: web.Application) -> AsyncIterator[None]:
    """Run the tasks: a cleanup context of the application."""
    counting, checking = asyncio.create_task(_count_sessions(app)), asyncio.create_task(_check_audit(app))
    storing = asyncio.create_task(_store_counts(app))
    yield
    counting.cancel()
    app[app_keys.CLOSING].set()
    app[app_keys.SERVICES].counts.full.set()
    # A cancelled query leaves its connection to the garbage collector, so let check and store finish.
    await asyncio.wait([checking, storing], timeout=STOP_SECONDS)
    checking.cancel()
    storing.cancel()
    for task in (counting, checking, storing):
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


async def _store_counts(app: web.Application) -> None:
    closing, full = app[app_keys.CLOSING], app[app_keys.SERVICES].counts.full
    while not closing.is_set():
        stored = await _try_to_store_counts(app)
        with suppress(TimeoutError):
            async with asyncio.timeout(STORE_SECONDS):
                await (full if stored else closing).wait()
    await _try_to_store_counts(app)


async def _try_to_store_counts(app: web.Application) -> bool:
    try:
        await store_counts(app)
    except BirthmarkError as error:
        log.warning("the counts of validations wait to be stored: %s", error)
        return False
    return True


async def store_counts(app: web.Application) -> None:
    """Store the counts of validations, and warn of units that have many today. Raises `registry.unavailable`."""
    station = app[app_keys.SERVICES]
    await station.counts.store()
    warning, today = station.config.validation.daily_warning, station.counts.today()
    async with station.database.read() as connection:
        number = await validations.count_often(connection, today, warning)
        serials = await validations.often(connection, today, warning, _NAMED)
    text = often_validated(serials, number, warning)
    if text and text != station.bus.notice(Topic.VALIDATIONS):
        log.warning("units that were validated %d times or more today: %d; the page names them", warning, number)
    station.bus.tell(NoticeChanged(Topic.VALIDATIONS, text))
