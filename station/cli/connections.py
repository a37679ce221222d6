"""The station's open HTTP connections: how many there may be, of one client and of all, and how long each may wait.

The ports need file descriptors, too, so connections get a quarter of them at most. When a client has as many as it may,
its next one takes the place of the one that has waited longest without a request; one with a request is never closed.
"""

from __future__ import annotations

import asyncio
import logging
import math
import resource
import time
from dataclasses import dataclass
from enum import Enum, auto
from typing import Final

from aiohttp import web
from aiohttp.typedefs import Handler

from station.web.app import IDLE_SECONDS

log = logging.getLogger(__name__)

CONNECTIONS_MAX: Final = 256
"""Pages, an aggregator's pool and a monitor need far fewer."""

HEADER_SECONDS: Final = 10.0
"""From a connection, or the first byte of its next request, to the end of the request's headers; TLS is included."""

SETTLE_SECONDS: Final = 5.0
"""How long a stop waits for a client that connects and sends no request."""

_SWEEP_SECONDS: Final = 1.0
_LOOK_SECONDS: Final = 0.05
_TELL_SECONDS: Final = 60.0
"""One line of the log in this time, however many connections are closed."""


class Origin(Enum):
    """Where a connection comes from, which decides how many it may have."""

    HERE = auto()
    """This machine: an eighth of the connections is for it alone."""
    PROXY = auto()
    """A trusted proxy, which connects for many clients."""
    ELSEWHERE = auto()


@dataclass(frozen=True, slots=True)
class Peer:
    """Who connects: connections are counted by this."""

    origin: Origin
    name: str


class Connection(asyncio.Protocol):
    """An accepted connection; passes everything on to `protocol`, aiohttp's, and knows whether a request is handled."""

    def __init__(self, peer: Peer, protocol: asyncio.Protocol, connections: Connections) -> None:
        self.peer: Final = peer
        self.since = time.monotonic()
        """When it began to wait for a request."""
        self.deadline = self.since + HEADER_SECONDS
        self.handling = False
        self.silent = True
        """Whether it has sent no request yet."""
        self.setting_up: asyncio.Task[None] | None = None
        """Opens the transport; with TLS it ends with the handshake."""
        self.transport: asyncio.Transport | None = None
        self._protocol = protocol
        self._connections = connections
        self._heading = True

    def begin_request(self) -> None:
        self.handling, self.silent, self._heading, self.deadline = True, False, False, math.inf

    def end_request(self) -> None:
        self.handling, self.since = False, time.monotonic()
        self.deadline = self.since + IDLE_SECONDS  # by then the client must have read the answer, too

    def abort(self) -> None:
        """Close it at once, whatever is unsent."""
        self._connections.forget(self)
        if self.transport:
            self.transport.abort()
        elif self.setting_up:
            self.setting_up.cancel()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 - a stream's
        self.transport = transport
        self._connections.made(self, transport)
        self._protocol.connection_made(transport)

    def data_received(self, data: bytes) -> None:
        if not self.handling and not self._heading:
            self._heading, self.deadline = True, min(self.deadline, time.monotonic() + HEADER_SECONDS)
        self._protocol.data_received(data)

    def eof_received(self) -> bool | None:
        return self._protocol.eof_received()

    def pause_writing(self) -> None:
        self._protocol.pause_writing()

    def resume_writing(self) -> None:
        self._protocol.resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        self._connections.forget(self)
        self._protocol.connection_lost(exc)


class Connections:
    """All open connections of the station."""

    def __init__(self, most: int | None = None) -> None:
        self.most: Final = most or min(CONNECTIONS_MAX, resource.getrlimit(resource.RLIMIT_NOFILE)[0] // 4)
        self._open: Final[dict[Connection, None]] = {}
        self._by_transport: Final[dict[asyncio.Transport, Connection]] = {}
        self._closed = 0
        self._told = -math.inf

    def __len__(self) -> int:
        return len(self._open)

    def admit(self, peer: Peer, protocol: asyncio.Protocol) -> Connection | None:
        """Return the new connection; None when there is no room for it."""
        if not self._make_room(peer):
            self._tell()
            return None
        connection = Connection(peer, protocol, self)
        self._open[connection] = None
        return connection

    def made(self, connection: Connection, transport: asyncio.Transport) -> None:
        self._by_transport[transport] = connection

    def forget(self, connection: Connection) -> None:
        self._open.pop(connection, None)
        if connection.transport:
            self._by_transport.pop(connection.transport, None)

    def watch_requests(self, app: web.Application) -> None:
        """Track the requests of `app`. Call it before `app` is set up."""

        @web.middleware
        async def track(request: web.Request, handler: Handler) -> web.StreamResponse:
            connection = self._by_transport.get(request.transport) if request.transport else None
            if connection is None:
                return await handler(request)
            connection.begin_request()
            try:
                return await handler(request)
            finally:
                connection.end_request()

        app.middlewares.insert(0, track)

    async def keep_deadlines(self) -> None:
        """Close every connection that is past its deadline, until cancelled."""
        while True:
            now = time.monotonic()
            for connection in [one for one in self._open if one.deadline < now]:
                connection.abort()
            await asyncio.sleep(min(_SWEEP_SECONDS, HEADER_SECONDS / 4))

    async def settle(self) -> None:
        """Wait until each connection has sent a request or is gone, `SETTLE_SECONDS` at most. Stop accepting first."""
        end = time.monotonic() + SETTLE_SECONDS
        while any(one.silent for one in self._open) and time.monotonic() < end:  # noqa: ASYNC110 - nothing tells when
            await asyncio.sleep(_LOOK_SECONDS)

    def _make_room(self, peer: Peer) -> bool:
        """Whether `peer` may have another connection, if need be in the place of one that waits."""
        own = [one for one in self._open if one.peer == peer]
        if len(own) >= self._share(peer):
            return self._close_longest_waiting(own)
        strangers = [one for one in self._open if one.peer.origin is not Origin.HERE]
        if peer.origin is not Origin.HERE and len(strangers) >= self.most - self.most // 8:
            return self._close_longest_waiting(strangers)
        return len(self._open) < self.most or self._close_longest_waiting(list(self._open))

    def _share(self, peer: Peer) -> int:
        """The most connections of one peer."""
        return max(1, self.most * 3 // 4 if peer.origin is Origin.PROXY else self.most // 4)

    def _close_longest_waiting(self, among: list[Connection]) -> bool:
        waiting = [one for one in among if not one.handling]
        if not waiting:
            return False
        min(waiting, key=lambda one: one.since).abort()
        self._tell()
        return True

    def _tell(self) -> None:
        self._closed += 1
        now = time.monotonic()
        if now - self._told >= _TELL_SECONDS:
            log.warning("too many connections: %d were closed since this was last said", self._closed)
            self._closed, self._told = 0, now
