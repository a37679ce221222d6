"""How many connections may be open and how long each may wait, and which of them a stop waits for."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import AsyncIterator, Callable
from contextlib import suppress

import pytest
from aiohttp import web

from station.cli import accepting, connections
from station.cli.accepting import Accepting
from station.cli.connections import Connections, Origin, Peer
from virtual.timeouts import TIMEOUT_SECONDS

ASK = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"
HERE, PROXY = Peer(Origin.HERE, ""), Peer(Origin.PROXY, "unix")
MOST = 16


def stranger(number: int) -> Peer:
    return Peer(Origin.ELSEWHERE, f"192.0.2.{number}")


class Bench:
    """A server whose connections are tracked. `peer` is who connects next."""

    def __init__(self) -> None:
        self.connections = Connections(MOST)
        self.peer: Peer | None = HERE
        self.answer = "answer"
        self.answering = asyncio.Event()
        self.answering.set()
        app = web.Application()
        app.router.add_get("/", self._answer)
        app.router.add_post("/", self._answer)
        self.connections.watch_requests(app)
        self.runner = web.AppRunner(app)
        self.listening = socket.create_server(("127.0.0.1", 0))
        self.accepting: Accepting | None = None
        self._sweeping: asyncio.Task[None] | None = None
        self._clients: list[asyncio.StreamWriter] = []

    async def _answer(self, _request: web.Request) -> web.Response:
        await self.answering.wait()
        return web.Response(text=self.answer)

    async def start(self) -> None:
        await self.runner.setup()
        assert self.runner.server
        self.accepting = Accepting(self.listening, None, lambda _: self.peer, self.runner.server, self.connections)
        self.accepting.start()
        self._sweeping = asyncio.create_task(self.connections.keep_deadlines())

    async def connect(self, peer: Peer | None = HERE) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Connect as `peer`, and wait until the server has accepted or refused."""
        self.peer = peer
        reader, writer = await asyncio.open_connection(*self.listening.getsockname())
        self._clients.append(writer)
        await asyncio.sleep(accepting.ACCEPT_SECONDS * 20)
        return reader, writer

    async def stop(self) -> None:
        for writer in self._clients:
            writer.close()
            with suppress(ConnectionError):
                await writer.wait_closed()
        assert self.accepting
        assert self._sweeping
        self.accepting.stop()
        self.listening.close()
        self._sweeping.cancel()
        self.answering.set()
        await self.runner.cleanup()


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    made = Bench()
    await made.start()
    yield made
    await made.stop()


async def is_closed(reader: asyncio.StreamReader) -> bool:
    """Whether the server closes the connection; it is given a moment."""
    try:
        async with asyncio.timeout(1):
            return await reader.read() == b""
    except ConnectionResetError:
        return True
    except TimeoutError:
        return False


# --- how many ---


async def test_a_client_has_a_quarter_and_its_next_one_takes_the_place_of_its_oldest(bench: Bench) -> None:
    other, _ = await bench.connect(stranger(2))
    mine = [await bench.connect(stranger(1)) for _ in range(MOST // 4 + 1)]
    assert len(bench.connections) == 1 + MOST // 4
    assert await is_closed(mine[0][0])
    for reader, _ in (mine[1], mine[-1]):
        assert not await is_closed(reader)
    assert not await is_closed(other)


async def test_a_connection_with_a_request_is_never_closed_for_another(bench: Bench) -> None:
    bench.answering.clear()
    asking = [await bench.connect(stranger(1)) for _ in range(MOST // 4)]
    for _, writer in asking:
        writer.write(ASK)
    await asyncio.sleep(0.1)
    refused, _ = await bench.connect(stranger(1))
    assert await is_closed(refused)
    bench.answering.set()
    for reader, _ in asking:
        assert (await reader.readline()).startswith(b"HTTP/1.1 200")


async def test_this_machine_has_some_that_no_others_can_take(bench: Bench) -> None:
    for number in range(2 * MOST):
        await bench.connect(stranger(number))
    assert len(bench.connections) == MOST - MOST // 8
    mine = [await bench.connect(HERE) for _ in range(MOST // 8)]
    assert len(bench.connections) == MOST
    assert not await is_closed(mine[0][0])


async def test_a_proxy_has_three_quarters(bench: Bench) -> None:
    for _ in range(MOST):
        await bench.connect(PROXY)
    assert len(bench.connections) == MOST * 3 // 4


async def test_connections_leave_three_quarters_of_the_descriptors(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("resource.getrlimit", lambda _: (100, 100))
    assert Connections().most == 25
    monkeypatch.setattr("resource.getrlimit", lambda _: (2**20, 2**20))
    assert Connections().most == connections.CONNECTIONS_MAX


async def test_however_many_are_closed_the_log_says_so_once_a_minute(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(2 * MOST):
        await bench.connect(stranger(1))
    assert [record.message for record in caplog.records if "too many connections" in record.message] == [
        "too many connections: 1 were closed since this was last said"
    ]


# --- how long ---


@pytest.mark.attack("sends a request's headers a byte at a time")
@pytest.mark.parametrize("first", [b"", ASK], ids=["at_once", "after_a_whole_request"])
async def test_headers_have_a_deadline_however_they_trickle(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, got: Callable[[str], None], first: bytes
) -> None:
    monkeypatch.setattr(connections, "HEADER_SECONDS", 0.4)
    reader, writer = await bench.connect()
    if first:
        writer.write(first)
        assert (await reader.readuntil(b"answer")).startswith(b"HTTP/1.1 200")
    begun, sent = time.monotonic(), 0
    with suppress(ConnectionError):
        async with asyncio.timeout(TIMEOUT_SECONDS):
            while not reader.at_eof():
                writer.write(b"GET / HTTP/1.1\r\n"[sent : sent + 1] or b"x")
                await writer.drain()
                sent += 1
                await asyncio.sleep(0.02)
    seconds = time.monotonic() - begun
    assert seconds >= 0.3
    assert len(bench.connections) == 0
    got(f"{sent} bytes, then the end: after {seconds:.1f} s where {connections.HEADER_SECONDS} s are allowed")


async def test_a_connection_may_wait_longer_for_its_next_request(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "HEADER_SECONDS", 0.2)
    reader, writer = await bench.connect()
    for _ in range(2):
        writer.write(ASK)
        assert (await reader.readuntil(b"answer")).startswith(b"HTTP/1.1 200")
        await asyncio.sleep(0.6)
    assert not await is_closed(reader)


async def test_an_answer_that_takes_long_is_not_cut(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "HEADER_SECONDS", 0.2)
    bench.answering.clear()
    reader, writer = await bench.connect()
    writer.write(ASK)
    await asyncio.sleep(0.6)
    bench.answering.set()
    assert (await reader.readuntil(b"answer")).startswith(b"HTTP/1.1 200")


async def test_a_client_that_never_reads_its_answer_is_disconnected(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "HEADER_SECONDS", 0.2)
    monkeypatch.setattr(connections, "IDLE_SECONDS", 0.2)
    bench.answer = "x" * 50_000_000
    _, writer = await bench.connect()
    writer.write(ASK)
    async with asyncio.timeout(TIMEOUT_SECONDS):
        while len(bench.connections):  # noqa: ASYNC110 - nothing tells when
            await asyncio.sleep(0.02)


# --- a stop ---


async def test_without_connections_there_is_no_wait(bench: Bench) -> None:
    await asyncio.wait_for(bench.connections.settle(), connections.SETTLE_SECONDS / 2)


async def test_a_client_without_a_request_is_waited_for_until_it_sends_one(bench: Bench) -> None:
    reader, writer = await bench.connect()
    settled = asyncio.create_task(bench.connections.settle())
    await asyncio.sleep(0.3)
    assert not settled.done()
    writer.write(ASK)
    assert (await reader.readline()).startswith(b"HTTP/1.1 200")
    await asyncio.wait_for(settled, connections.SETTLE_SECONDS / 2)


async def test_a_client_that_has_gone_is_not_waited_for(bench: Bench) -> None:
    _, writer = await bench.connect()
    writer.close()
    await writer.wait_closed()
    await asyncio.wait_for(bench.connections.settle(), connections.SETTLE_SECONDS / 2)


async def test_a_client_that_never_sends_a_request_is_waited_for_up_to_the_limit(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "SETTLE_SECONDS", 0.2)
    await bench.connect()
    await asyncio.wait_for(bench.connections.settle(), 60)
