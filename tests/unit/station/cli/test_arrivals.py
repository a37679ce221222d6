"""A stop waits for clients that were accepted and have sent no request; not for others."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from aiohttp import web

from station.cli import arrivals
from station.cli.arrivals import Arrivals

ASK = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"


class Bench:
    """A server whose accepted connections are tracked."""

    def __init__(self) -> None:
        self.arrivals = Arrivals()
        app = web.Application()
        self.arrivals.watch_requests(app)
        self.runner = web.AppRunner(app)
        self._server: asyncio.Server | None = None
        self._port = 0

    async def start(self) -> None:
        await self.runner.setup()
        assert self.runner.server
        accept = self.arrivals.watch(self.runner.server)
        self._server = await asyncio.get_running_loop().create_server(accept, "127.0.0.1", 0)
        self._port = self._server.sockets[0].getsockname()[1]

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection("127.0.0.1", self._port)

    async def stop(self) -> None:
        assert self._server
        self._server.close()
        await self.runner.cleanup()


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    made = Bench()
    await made.start()
    yield made
    await made.stop()


async def test_without_connections_there_is_no_wait(bench: Bench) -> None:
    await asyncio.wait_for(bench.arrivals.settle(), arrivals.SECONDS_MAX / 2)


async def test_a_client_without_a_request_is_waited_for_until_it_sends_one(bench: Bench) -> None:
    reader, writer = await bench.connect()
    settled = asyncio.create_task(bench.arrivals.settle())
    await asyncio.sleep(0.3)
    assert not settled.done()
    writer.write(ASK)
    assert (await reader.readline()).startswith(b"HTTP/1.1 404")
    await asyncio.wait_for(settled, arrivals.SECONDS_MAX / 2)
    writer.close()
    await writer.wait_closed()


async def test_a_client_that_has_gone_is_not_waited_for(bench: Bench) -> None:
    _, writer = await bench.connect()
    await asyncio.sleep(0.1)
    writer.close()
    await writer.wait_closed()
    await asyncio.wait_for(bench.arrivals.settle(), arrivals.SECONDS_MAX / 2)


async def test_a_client_that_never_sends_a_request_is_waited_for_up_to_the_limit(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(arrivals, "SECONDS_MAX", 0.2)
    _, writer = await bench.connect()
    await asyncio.wait_for(bench.arrivals.settle(), 60)
    writer.close()
    await writer.wait_closed()
