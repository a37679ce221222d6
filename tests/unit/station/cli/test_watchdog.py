"""The station notifies systemd's watchdog, if it asks for it, while the event loop runs."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from station.cli.watchdog import keep_watchdog
from virtual.timeouts import TIMEOUT_SECONDS


@pytest.fixture
def manager(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[socket.socket]:
    """The socket at which a service manager listens."""
    path = tmp_path / "notify"
    monkeypatch.setenv("NOTIFY_SOCKET", str(path))
    for name in ("WATCHDOG_USEC", "WATCHDOG_PID"):
        monkeypatch.delenv(name, raising=False)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as made:
        made.bind(str(path))
        made.setblocking(False)
        yield made


@pytest.mark.parametrize("named", [False, True])
async def test_the_watchdog_is_notified_again_and_again(
    manager: socket.socket, monkeypatch: pytest.MonkeyPatch, named: bool
) -> None:
    monkeypatch.setenv("WATCHDOG_USEC", "30000")
    if named:
        monkeypatch.setenv("WATCHDOG_PID", str(os.getpid()))
    task = asyncio.create_task(keep_watchdog())
    async with asyncio.timeout(TIMEOUT_SECONDS):
        for _ in range(3):
            assert await asyncio.get_running_loop().sock_recv(manager, 100) == b"WATCHDOG=1"
    task.cancel()
    await asyncio.wait([task])


@pytest.mark.parametrize("interval", ["", "0", "-1", "1.5", "soon", "٣"])
async def test_nobody_is_told_who_did_not_ask(
    manager: socket.socket, monkeypatch: pytest.MonkeyPatch, interval: str
) -> None:
    monkeypatch.setenv("WATCHDOG_USEC", interval)
    await stays_silent(manager)


async def test_another_processs_watchdog_is_not_ours(manager: socket.socket, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WATCHDOG_USEC", "1000")
    monkeypatch.setenv("WATCHDOG_PID", str(os.getpid() + 1))
    await stays_silent(manager)


async def stays_silent(manager: socket.socket) -> None:
    task = asyncio.create_task(keep_watchdog())
    for _ in range(20):
        await asyncio.sleep(0)
    assert not task.done()
    with pytest.raises(BlockingIOError):
        manager.recv(100)
    task.cancel()
    await asyncio.wait([task])
