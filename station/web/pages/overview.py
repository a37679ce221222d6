"""The operator's page at `/`, and the stream of events that keeps it up to date.

The page works without JavaScript. With it, the stream sends a region of the page again, as the same escaped HTML,
whenever something in it has changed. It begins with all regions, so that a page that was disconnected misses nothing.
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
from station.registry.tokens import Scope
from station.web import app_keys
from station.web.auth.access import Caller, admit, page_is_open
from station.web.endpoint import Reply
from station.web.http.clients import client, is_from_proxy, is_local
from station.web.http.negotiation import asks_for_page
from station.web.http.turns import TURN
from station.web.pages.listeners import Listener
from station.web.views import overview

log = logging.getLogger(__name__)

EVENTS_PATH: Final = "/events"

UNITS_PER_PAGE: Final = 50

SETTLE_SECONDS: Final = 0.1
"""How long changes are collected before they are sent: a busy station costs at most ten renderings a second."""

PULSE_SECONDS: Final = 10.0
"""The stream sends something at least this often, so that a page can tell an idle station from a lost connection."""

STREAM_SECONDS: Final = 3600.0
"""The longest stream. The page then opens another, which also updates what depends on the date."""

SEND_SECONDS: Final = 20.0
"""A stream ends when its page reads nothing for this long."""


@dataclass(frozen=True, slots=True)
class PageQuery:
    """Which units a page shows."""

    search: str
    cursor: str
    """The `cursor` of the previous page; empty for the first."""


class ServiceInfo(msgspec.Struct, frozen=True):
    """What `/` answers to a program, as Birthmark's own SMA does."""

    service: str
    version: str
    status: str


def needs_no_token(request: web.Request) -> bool:
    """Whether anybody may have what `root` answers to this request."""
    return not asks_for_page(request) or page_is_open(request)


async def root(request: web.Request, caller: Caller | None) -> web.Response | Reply:
    """Serve the page to browsers; service, version and status to programs."""
    app, station = request.app, request.app[app_keys.SERVICES]
    if not asks_for_page(request):
        about = ServiceInfo("Birthmark SMA", app[app_keys.VERSION], "running")
        return Reply(about, headers={"Vary": "Accept"})
    asked = _page_query(request)
    text = (
        app[app_keys.TEMPLATES]
        .get_template("page.html")
        .render(
            policy=station.policy.value,
            unreachable=await unreachable(station.config.authority, station.policy, station.database),
            reader=caller,
            search=asked.search,
            notices=Markup(_notices(app)),  # noqa: S704 - rendered, and escaped, by a template of ours
            sessions=Markup(_sessions(app)),  # noqa: S704 - as above
            units=Markup(await _units(app, asked)),  # noqa: S704 - as above
        )
    )
    return web.Response(text=text, content_type="text/html", headers={"Vary": "Accept"})


async def events(request: web.Request) -> web.StreamResponse:
    """Send events: `asset_version` once, then `notices`, `sessions` and `units` as HTML; `pulse` when idle.

    Raises `access.*`, `http.too-many-listeners`.
    """
    caller = await admit(request, Scope.READ, page_is_open)
    who = f"signed in: {caller.name}" if caller else client(request)
    operator = is_local(request) or (caller is not None and is_from_proxy(request))
    listeners = request.app[app_keys.LISTENERS]
    with request.app[app_keys.SERVICES].bus.listen() as queue:

        def end() -> None:
            if request.transport:
                request.transport.abort()
            if not queue.full():
                queue.put_nowait(Lost())  # wakes the stream

        with listeners.added(who, end, operator=operator) as listener:
            request[TURN].give()
            async with sse_response(request, send_timeout=SEND_SECONDS) as response:
                await _stream(request, listener, queue, response)
    return response


async def close_streams(app: web.Application) -> None:
    """Handle `on_shutdown`: end the streams, so that the stop does not wait for the pages."""
    app[app_keys.CLOSING].set()
    app[app_keys.SERVICES].bus.tell(Lost())


async def _stream(
    request: web.Request, listener: Listener, queue: asyncio.Queue[BusEvent], response: EventSourceResponse
) -> None:
    """Send events until `STREAM_SECONDS`, the station's stop, or the end of what allows the page to listen.

    Nothing cancels it: a query should not be cancelled.
    """
    app, asked = request.app, _page_query(request)
    ends = time.monotonic() + STREAM_SECONDS
    try:
        await response.send(app[app_keys.ASSET_VERSION], event="asset_version", retry=1000)
        happened: set[type[BusEvent]] = {Lost}
        while time.monotonic() < ends and not app[app_keys.CLOSING].is_set() and not listener.ended:
            await admit(request, Scope.READ, page_is_open)  # the token may be revoked, the session ended
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
        log.log(
            logging.INFO if error.code.startswith("access.") else logging.WARNING,
            "a page's stream has ended: %s",
            error,
        )
    except Exception:
        log.exception("a page's stream has ended: a bug")


async def _wait_for_changes(queue: asyncio.Queue[BusEvent]) -> set[type[BusEvent]]:
    """Return the types of the next event and of those shortly after it; empty after `PULSE_SECONDS` without one."""
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
    bus = app[app_keys.SERVICES].bus
    return (
        app[app_keys.TEMPLATES]
        .get_template("notices.html")
        .render(
            notices={topic.value: bus.notice(topic) for topic in (Topic.VENDORS, Topic.CERTIFICATE, Topic.VALIDATIONS)}
        )
    )


def _sessions(app: web.Application) -> str:
    bus = app[app_keys.SERVICES].bus
    ports = bus.ports()
    return (
        app[app_keys.TEMPLATES]
        .get_template("sessions.html")
        .render(
            ports=[overview.port_view(port) for port in ports],
            summary=overview.summary(ports),
            why_none=bus.notice(Topic.PORTS),
        )
    )


async def _units(app: web.Application, asked: PageQuery) -> str:
    station, wanted = app[app_keys.SERVICES], Filter(serial_contains=asked.search)
    async with station.database.read() as connection:
        page = await queries.page(connection, wanted, limit=UNITS_PER_PAGE, cursor=asked.cursor)
        found = await queries.count(connection, wanted)
        counts = await units.count_by_state(connection)
    now = station.clock()
    return (
        app[app_keys.TEMPLATES]
        .get_template("units.html")
        .render(
            units=[overview.unit_view(unit, now, station.config.validation.daily_warning) for unit in page.units],
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
