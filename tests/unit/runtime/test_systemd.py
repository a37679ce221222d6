"""What both services send to systemd, read at the other end of a real socket."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from runtime import systemd
from runtime.systemd import notify
from shared.errors import BirthmarkError
from station.cli.watchdog import keep_watchdog
from virtual.timeouts import TIMEOUT_SECONDS


@pytest.fixture(params=["path", "abstract"])
def manager(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[socket.socket]:
    name = str(tmp_path / "notify") if request.param == "path" else f"@birthmark-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(name.replace("@", "\0"))
        listening.settimeout(TIMEOUT_SECONDS)
        monkeypatch.setenv("NOTIFY_SOCKET", name)
        yield listening


def test_ready_and_stopping_come_with_a_status_on_one_line(manager: socket.socket) -> None:
    notify("waiting\nREADY=0 for a station", ready=True)
    assert manager.recv(4096) == b"READY=1\nSTATUS=waiting READY=0 for a station"
    notify(stopping=True)
    assert manager.recv(4096) == b"STOPPING=1"


def test_nobody_listening_is_no_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for address in (None, "", str(tmp_path / "gone"), "vsock:2:1"):
        monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
        if address is not None:
            monkeypatch.setenv("NOTIFY_SOCKET", address)
        notify("still here", ready=True)


async def test_the_watchdog_hears_from_us_several_times_an_interval(
    manager: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WATCHDOG_USEC", "30000")
    monkeypatch.setenv("WATCHDOG_PID", str(os.getpid()))
    task = asyncio.create_task(keep_watchdog())
    heard = [await asyncio.to_thread(manager.recv, 4096) for _ in range(3)]
    assert heard == [b"WATCHDOG=1"] * 3
    task.cancel()


@pytest.mark.parametrize("variables", [{}, {"WATCHDOG_USEC": "no"}, {"WATCHDOG_USEC": "1000", "WATCHDOG_PID": "1"}])
async def test_a_watchdog_that_is_not_ours_is_not_fed(
    manager: socket.socket, monkeypatch: pytest.MonkeyPatch, variables: dict[str, str]
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    task = asyncio.create_task(keep_watchdog())
    await asyncio.sleep(0.05)
    assert not task.done()
    task.cancel()
    manager.setblocking(False)
    with pytest.raises(BlockingIOError):
        manager.recv(4096)


INHERIT = """
import os, socket, sys
listening = socket.create_server(("127.0.0.1", 0)) if sys.argv[1] == "listening" else socket.socket()
os.dup2(listening.fileno(), 3)
os.environ["LISTEN_PID"] = str(os.getpid())
os.environ["LISTEN_FDS"] = sys.argv[2]
from shared.errors import BirthmarkError
from runtime.systemd import inherited_sockets
try:
    (inherited,) = inherited_sockets()
    print(inherited.getsockname() == listening.getsockname())
except BirthmarkError as error:
    print(error.code)
"""


@pytest.mark.parametrize(
    ("kind", "count", "said"),
    [
        ("listening", "1", "True"),
        ("listening", "2", "http.cannot-listen"),
        ("idle", "1", "http.cannot-listen"),
        ("listening", "x", "http.cannot-listen"),
        ("listening", "0", "http.cannot-listen"),
        ("listening", "999999", "http.cannot-listen"),
    ],
)
def test_the_socket_systemd_opened_is_taken_over_if_it_is_one_that_listens(kind: str, count: str, said: str) -> None:
    done = subprocess.run([sys.executable, "-c", INHERIT, kind, count], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == said


def test_a_socket_meant_for_another_process_is_not_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LISTEN_FDS", "1")
    monkeypatch.setenv("LISTEN_PID", "1")
    assert systemd.inherited_sockets() == []
    monkeypatch.delenv("LISTEN_PID")
    assert systemd.inherited_sockets() == []


def test_a_closed_descriptor_in_its_place_has_a_code(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(systemd, "_FIRST_DESCRIPTOR", 987)
    monkeypatch.setenv("LISTEN_FDS", "1")
    monkeypatch.setenv("LISTEN_PID", str(os.getpid()))
    with pytest.raises(BirthmarkError, match="from systemd"):
        systemd.inherited_sockets()
