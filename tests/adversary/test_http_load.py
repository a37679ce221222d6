"""As many validations as a client may ask for do not slow a session on a port down."""

from __future__ import annotations

import asyncio
import statistics
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.typedefs import Handler

from station.ports.conversation import Conversation
from station.web.app import create_app, create_runner
from tests.harness.soft_device import Device
from tests.harness.soft_unit import Provisioning, open_provisioning
from tests.unit.station.ports.test_conversation import LONG_WAITS, FakeLine, SoftUnit
from virtual.timeouts import TIMEOUT_SECONDS

SESSIONS = 9
PAUSE_SECONDS = 0.15
SHARE = 1 / 5
"""The most of the usual rate of requests that there may be while a session is in progress. With as many as usual the
ports come second; the station allows a fifth of the time."""

LOAD = """
import asyncio, sys
BODY = (b'{"camera_token": {"ciphertext": "' + b"ab" * 32 + b'", "auth_tag": "' + b"cd" * 16 +
        b'", "nonce": "' + b"ef" * 12 + b'", "table_id": 0, "key_index": 0}}')
ASK = (b"POST /validate HTTP/1.1\\r\\nHost: localhost\\r\\nContent-Type: application/json\\r\\n"
       b"Content-Length: " + str(len(BODY)).encode() + b"\\r\\n\\r\\n" + BODY)

async def client():
    reader, writer = await asyncio.open_connection("127.0.0.1", int(sys.argv[1]))
    while True:
        writer.write(ASK)
        head = (await reader.readuntil(b"\\r\\n\\r\\n")).lower()
        await reader.readexactly(int(head.partition(b"content-length: ")[2].split()[0]))

async def main():
    await asyncio.gather(*(client() for _ in range(16)))

asyncio.run(main())
"""


class Served:
    """A station, its HTTP interface on `port`, and the number of requests it has handled."""

    def __init__(self, station: Provisioning) -> None:
        self.station = station
        self.port = 0
        self.handled = 0
        self._device = Device()

    async def hold_session(self) -> tuple[float, int]:
        """Let the unit hold a session. Returns its seconds, and the requests handled meanwhile."""
        line = FakeLine(SoftUnit(self.station, self._device))
        before, begun = self.handled, time.perf_counter()
        await Conversation(line, "/dev/ttyACM0", self.station.provisioner, self.station.bus, LONG_WAITS).run()
        return time.perf_counter() - begun, self.handled - before

    async def pause(self) -> tuple[float, int]:
        """Let no session be in progress for a while. Returns the same."""
        before, begun = self.handled, time.perf_counter()
        await asyncio.sleep(PAUSE_SECONDS)
        return time.perf_counter() - begun, self.handled - before


@pytest.fixture
async def served(tmp_path: Path) -> AsyncIterator[Served]:
    async with open_provisioning(tmp_path) as station:
        made = Served(station)

        @web.middleware
        async def count(request: web.Request, handler: Handler) -> web.StreamResponse:
            made.handled += 1
            return await handler(request)

        app = create_app(station.bare_station)
        app.middlewares.append(count)
        runner = create_runner(app)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        made.port = runner.addresses[0][1]
        yield made
        await runner.cleanup()


@asynccontextmanager
async def load(served: Served) -> AsyncIterator[None]:
    """Ask as fast as 16 connections can."""
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", LOAD, str(served.port))
    try:
        async with asyncio.timeout(TIMEOUT_SECONDS):
            while served.handled < 100:  # noqa: ASYNC110 - nothing tells when
                await asyncio.sleep(0.05)
        yield
    finally:
        process.kill()
        await process.wait()


@pytest.mark.attack("validates as fast as 16 connections can, while a unit is provisioned")
async def test_a_session_comes_before_any_load_of_requests(served: Served, got: Callable[[str], None]) -> None:
    await served.hold_session()  # the first is the longest, which makes the unit's place
    alone = [await served.hold_session() for _ in range(SESSIONS)]
    during, between = [], []
    async with load(served):
        for _ in range(SESSIONS):
            during.append(await served.hold_session())
            between.append(await served.pause())
    rates = [sum(count for _, count in some) / sum(seconds for seconds, _ in some) for some in (during, between)]
    assert rates[0] < SHARE * rates[1]
    took = [statistics.median(seconds for seconds, _ in some) * 1000 for some in (during, alone)]
    got(
        f"{rates[0]:.0f} answers a second during sessions, {rates[1]:.0f} between them; "
        f"a session takes {took[0]:.0f} ms, without load {took[1]:.0f} ms"
    )
