"""Lets the ports come first: while a session is in progress, requests take turns, and each is followed by a rest.

Ports and requests share one event loop. A session goes through it some hundred times, and each time waits for all that
is ready; requests in any number would multiply its time. One request at a time, for a fifth of the time, does not.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from aiohttp import web

from shared.errors import BirthmarkError
from station.events import Bus

REST: Final = 4.0
"""The rest after a request, as a multiple of the time that it took."""

REST_SECONDS_MAX: Final = 0.05
"""A request that took long mostly waited, for the registry's lock or a signature."""

WAIT_SECONDS: Final = 20.0
"""How long a request waits for its turn."""


class Turn:
    """A request's turn, which it gives up while it waits for its client."""

    def __init__(self, turns: Turns) -> None:
        self._turns = turns
        self._begun: float | None = None
        """When it took the turn; None while it has none, or needs none."""

    async def take(self) -> None:
        """Wait for the turn. Raises `http.too-slow`."""
        self._begun = await self._turns.take()

    def give(self) -> None:
        if self._begun is not None:
            self._turns.give(self._begun)
            self._begun = None

    @asynccontextmanager
    async def given_up(self) -> AsyncIterator[None]:
        """Give the turn up for the block, and take it again."""
        self.give()
        yield
        await self.take()


TURN: Final = web.RequestKey("turn", Turn)


class Turns:
    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self._free = asyncio.Lock()

    async def take(self) -> float | None:
        """Wait for a turn, and return its time; None when no session is in progress. Raises `http.too-slow`."""
        if not self._bus.is_working():
            return None
        try:
            async with asyncio.timeout(WAIT_SECONDS):
                await self._free.acquire()
        except TimeoutError:
            raise BirthmarkError("http.too-slow", f"sessions on the ports came first for {WAIT_SECONDS:g} s") from None
        return time.monotonic()

    def give(self, begun: float) -> None:
        """End the turn; the next one begins after the rest."""
        rest = min(REST_SECONDS_MAX, REST * (time.monotonic() - begun)) if self._bus.is_working() else 0.0
        asyncio.get_running_loop().call_later(rest, self._free.release)
