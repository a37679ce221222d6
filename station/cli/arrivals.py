"""Connections that were accepted and have sent no request yet: a stop waits for them, as nobody else answers them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Final
from weakref import WeakSet

from aiohttp import web
from aiohttp.typedefs import Handler

SECONDS_MAX: Final = 5.0
"""How long a stop waits for a client that connects and sends no request."""

_LOOK_SECONDS: Final = 0.05


class _Arrival(asyncio.Protocol):
    """A connection up to the end of its TLS handshake; then `protocol` takes over."""

    def __init__(self, protocol: asyncio.Protocol, silent: WeakSet[asyncio.Transport]) -> None:
        self._protocol = protocol
        self._silent = silent

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 - a stream's
        self._silent.add(transport)
        transport.set_protocol(self._protocol)
        self._protocol.connection_made(transport)


class Arrivals:
    """Tracks each connection from its acceptance, before TLS, to its first request. Forgets one that is gone."""

    def __init__(self) -> None:
        self._arriving: Final[WeakSet[_Arrival]] = WeakSet()
        self._silent: Final[WeakSet[asyncio.Transport]] = WeakSet()

    def watch(self, server: Callable[[], asyncio.Protocol]) -> Callable[[], asyncio.Protocol]:
        """Wrap a protocol factory for `create_server`: each call of the result is an accepted connection."""

        def accept() -> asyncio.Protocol:
            arrival = _Arrival(server(), self._silent)
            self._arriving.add(arrival)
            return arrival

        return accept

    def watch_requests(self, app: web.Application) -> None:
        """Track the requests of `app`. Call it before `app` is set up."""

        @web.middleware
        async def arrive(request: web.Request, handler: Handler) -> web.StreamResponse:
            if request.transport:
                self._silent.discard(request.transport)
            return await handler(request)

        app.middlewares.insert(0, arrive)

    async def settle(self) -> None:
        """Wait until each connection has sent a request or is gone, `SECONDS_MAX` at most. Stop accepting first."""
        end = time.monotonic() + SECONDS_MAX
        await asyncio.sleep(_LOOK_SECONDS)  # a connection that is accepted at this moment is not tracked yet
        while self._expects() and time.monotonic() < end:  # noqa: ASYNC110 - a closed one sends no event
            await asyncio.sleep(_LOOK_SECONDS)

    def _expects(self) -> bool:
        return bool(self._arriving) or not all(transport.is_closing() for transport in self._silent)
