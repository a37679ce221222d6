"""Whom a listening socket lets in, and what it does when the system has no room."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from station.cli import accepting
from tests.unit.station.cli.test_connections import ASK, HERE, Bench, is_closed
from virtual.timeouts import TIMEOUT_SECONDS


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    made = Bench()
    await made.start()
    yield made
    await made.stop()


async def test_who_is_not_served_is_disconnected(bench: Bench) -> None:
    reader, _ = await bench.connect(None)
    assert await is_closed(reader)
    assert len(bench.connections) == 0


async def test_without_descriptors_it_waits_and_says_so_once(
    bench: Bench, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(accepting, "EXHAUSTED_SECONDS", 0.01)
    tried = 0

    class Exhausted:
        """A listening socket for which the system has no descriptor the first ten times."""

        def fileno(self) -> int:
            return bench.listening.fileno()

        def setblocking(self, _flag: bool) -> None:
            pass

        def accept(self) -> object:
            nonlocal tried
            tried += 1
            if tried <= 10:
                raise OSError(24, "Too many open files")
            return bench.listening.accept()

    assert bench.accepting
    monkeypatch.setattr(bench.accepting, "_listening", Exhausted())
    reader, writer = await bench.connect()
    writer.write(ASK)
    async with asyncio.timeout(TIMEOUT_SECONDS):
        assert (await reader.readline()).startswith(b"HTTP/1.1 200")
    assert tried >= 11
    assert [record.message for record in caplog.records] == ["no connection can be accepted: Too many open files"]


async def test_a_flood_is_accepted_at_a_pace(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(accepting, "ACCEPT_SECONDS", 0.05)
    monkeypatch.setattr(accepting, "_AT_ONCE", 2)
    bench.peer = HERE
    bench.answering.clear()
    begun = asyncio.get_running_loop().time()
    clients = await asyncio.gather(*(asyncio.open_connection(*bench.listening.getsockname()) for _ in range(4)))
    for _, writer in clients:
        writer.write(ASK)
    bench.answering.set()
    for reader, writer in clients:
        assert (await reader.readuntil(b"answer")).startswith(b"HTTP/1.1 200"), "who waits is served, too"
        writer.close()
        await writer.wait_closed()
    assert asyncio.get_running_loop().time() - begun >= 0.05
