"""The operator's page at `/`, and the stream of events that keeps it up to date.

The page is whole without JavaScript. With it, the stream sends a region of the page anew, as the same escaped HTML,
whenever something in it has changed: all of it first, so that a page that was away misses nothing.
"""

from __future__ import annotations

import asyncio
import logging
import time
from dataclasses import dataclass
from typing import Final

import msgspec
from aiohttp import web
from aiohttp_sse import EventSourceResponse, sse_response
from markupsafe import Markup

from shared import limits
from shared.errors import BirthmarkError
from shared.text import printable
from station.events import BusEvent, Lost, NoticeChanged, PortChanged, PortGone, Topic, UnitChanged
from station.provisioning.public_address import unreachable
from station.registry import queries, units
from station.registry.queries import Filter
from station.registry.records import UnitState
from station.web import app_keys
from station.web.auth.access import page_reader
from station.web.http.negotiation import asks_for_json
from station.web.views import overview

log = logging.getLogger(__name__)

EVENTS_PATH: Final = "/events"

UNITS_PER_PAGE: Final = 50

LISTENERS_MAX: Final = 64
"""Pages that may listen at once: each costs a rendering for every change."""

SETTLE_SECONDS: Final = 0.1
"""How long changes are gathered before they are sent, so that a busy bench costs ten renderings a second at most."""

PULSE_SECONDS: Final = 10.0
"""The stream is never silent for longer, so that a page can tell a quiet bench from a lost connection."""

STREAM_SECONDS: Final = 3600.0
"""Longest stream. The page then begins another, which also renews what depends on the date."""

SEND_SECONDS: Final = 20.0
"""How long a page may leave what it is sent unread."""


@dataclass(frozen=True, slots=True)
class PageQuery:
    """Which units a page shows."""

    search: str
    cursor: str
    """Where the page before this one ended; empty for the first."""


class ServiceInfo(msgspec.Struct, frozen=True):
    """What `/` answers to a program, in the words of Birthmark's own SMA."""

    service: str
    version: str
    status: str


async def root(request: web.Request) -> web.Response:
    """The page for browsers; service, version and status for programs."""
    app = request.app
    if asks_for_json(request):
        about = ServiceInfo("Birthmark SMA", app[app_keys.VERSION], "running")
        return web.Response(
            body=msgspec.json.encode(about), content_type="application/json", headers={"Vary": "Accept"}
        )
    try:
        reader = await page_reader(request)
    except BirthmarkError as error:
        if error.code != "access.required":
            raise
        return web.Response(status=303, headers={"Location": "/login", "Vary": "Accept"})
    asked = _page_query(request)
    text = (
        app[app_keys.TEMPLATES]
        .get_template("page.html")
        .render(
            policy=app[app_keys.POLICY].value,
            unreachable=await unreachable(app[app_keys.CONFIG].authority, app[app_keys.POLICY], app[app_keys.DATABASE]),
            reader=reader,
            search=asked.search,
            notices=Markup(_notices(app)),  # noqa: S704 - rendered, and escaped, by a template of ours
            sessions=Markup(_sessions(app)),  # noqa: S704 - as above
            units=Markup(await _units(app, asked)),  # noqa: S704 - as above
        )
    )
    return web.Response(text=text, content_type="text/html", headers={"Vary": "Accept"})


async def events(request: web.Request) -> web.StreamResponse:
    """Server-sent events: `asset_version` once, then `notices`, `sessions` and `units` as HTML; `pulse` when idle.

    Raises `access.*`, `http.too-many-listeners`.
    """
    await page_reader(request)
    asked = _page_query(request)
    streams = request.app[app_keys.STREAMS]
    if len(streams) >= LISTENERS_MAX:
        raise BirthmarkError("http.too-many-listeners", f"{LISTENERS_MAX} pages listen already")
    this = object()
    streams.add(this)
    try:
        async with sse_response(request, send_timeout=SEND_SECONDS) as response:
            await _stream(request.app, asked, response)
    finally:
        streams.discard(this)
    return response


async def close_streams(app: web.Application) -> None:
    """Signal handler for `on_shutdown`: nobody waits for a page to hang up."""
    app[app_keys.CLOSING].set()
    app[app_keys.BUS].tell(Lost())


async def _stream(app: web.Application, asked: PageQuery, response: EventSourceResponse) -> None:
    """Ends by its own decision, never by being cancelled: aiosqlite may not survive that in the middle of a query."""
    ends = time.monotonic() + STREAM_SECONDS
    try:
        with app[app_keys.BUS].listen() as queue:
            await response.send(app[app_keys.ASSET_VERSION], event="asset_version", retry=1000)
            happened: set[type[BusEvent]] = {Lost}
            while time.monotonic() < ends and not app[app_keys.CLOSING].is_set():
                if happened & {NoticeChanged, Lost}:
                    await response.send(_notices(app), event="notices")
                if happened & {PortChanged, PortGone, NoticeChanged, Lost}:
                    await response.send(_sessions(app), event="sessions")
                if happened & {UnitChanged, Lost}:
                    await response.send(await _units(app, asked), event="units")
                if not happened:
                    await response.send("", event="pulse")
                happened = await _wait_for_changes(queue)
    except (ConnectionResetError, TimeoutError) as error:
        log.debug("a page's stream has ended: %r", error)
    except BirthmarkError as error:
        log.warning("a page's stream has ended: %s", error)
    except Exception:
        log.exception("a page's stream has ended: a bug")


async def _wait_for_changes(queue: asyncio.Queue[BusEvent]) -> set[type[BusEvent]]:
    """The kinds of what happens next, with what follows shortly after; empty when nothing does for a while."""
    try:
        async with asyncio.timeout(PULSE_SECONDS):
            happened = {type(await queue.get())}
    except TimeoutError:
        return set()
    await asyncio.sleep(SETTLE_SECONDS)
    while not queue.empty():
        happened.add(type(queue.get_nowait()))
    return happened


def _notices(app: web.Application) -> str:
    return app[app_keys.TEMPLATES].get_template("notices.html").render(vendors=app[app_keys.BUS].notice(Topic.VENDORS))


def _sessions(app: web.Application) -> str:
    ports = app[app_keys.BUS].ports()
    return (
        app[app_keys.TEMPLATES]
        .get_template("sessions.html")
        .render(
            ports=[overview.port_view(port) for port in ports],
            summary=overview.summary(ports),
            why_none=app[app_keys.BUS].notice(Topic.PORTS),
        )
    )


async def _units(app: web.Application, asked: PageQuery) -> str:
    wanted = Filter(serial_contains=asked.search)
    async with app[app_keys.DATABASE].read() as connection:
        page = await queries.page(connection, wanted, limit=UNITS_PER_PAGE, cursor=asked.cursor)
        found = await queries.count(connection, wanted)
        counts = await units.count_by_state(connection)
    now = time.time()
    return (
        app[app_keys.TEMPLATES]
        .get_template("units.html")
        .render(
            units=[overview.unit_view(unit, now) for unit in page.units],
            provisioned=counts[UnitState.PROVISIONED],
            issued=counts[UnitState.ISSUED],
            revoked=counts[UnitState.REVOKED],
            found=found,
            search=asked.search,
            cursor=asked.cursor,
            older=page.cursor,
        )
    )


def _page_query(request: web.Request) -> PageQuery:
    return PageQuery(
        printable(request.query.get("search", ""), limits.SERIAL_CHARACTERS), request.query.get("cursor", "")
    )
