"""A running station prints a link to its page at a terminal, and nowhere else; `birthmark-station open` prints more."""

from __future__ import annotations

import re
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import HTTPCookieProcessor, Request, build_opener

import pytest

from virtual.station import STATION, VirtualStation
from virtual.timeouts import TIMEOUT_SECONDS

LINK = re.compile(r"(http://127\.0\.0\.1:\d+/open)#([A-Za-z0-9_-]{22})")


@pytest.fixture
def station(tmp_path: Path) -> VirtualStation:
    made = VirtualStation(tmp_path / "station", "/dev/no-such-port")
    made.init()
    return made


@contextmanager
def at_a_terminal(station: VirtualStation) -> Iterator[Callable[[], str]]:
    """Run `serve` at a terminal. Returns what reads the screen."""
    screen = station.data_dir.with_name("screen")
    command = [*STATION, "serve", "--port", "0", "--serial-port", "/dev/no-such-port"]
    command += ["--data-dir", str(station.data_dir)]
    with screen.open("wb") as shown:
        process = subprocess.Popen(
            ["script", "--quiet", "--return", "--command", subprocess.list2cmdline(command), "/dev/null"],
            stdin=subprocess.DEVNULL,
            stdout=shown,
            stderr=subprocess.STDOUT,
        )
    try:
        yield lambda: screen.read_text()
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(TIMEOUT_SECONDS)


def arguments_of_all_processes() -> str:
    told = ""
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            told += path.read_bytes().decode(errors="replace").replace("\0", " ") + "\n"
        except OSError:  # it has ended
            continue
    return told


def opens(door: str, secret: str) -> bool:
    """Press the button of the page that the link leads to. Returns whether it then shows the page."""
    request = Request(  # noqa: S310 - loopback
        door, data=f"link={secret}".encode(), headers={"Origin": door.removesuffix("/open"), "Accept": "text/html"}
    )
    try:
        with build_opener(HTTPCookieProcessor()).open(request, timeout=TIMEOUT_SECONDS) as answer:
            return "Opened by a link, to look." in answer.read().decode()
    except HTTPError as error:
        return error.code != 403


def test_at_a_terminal_serve_prints_a_link_that_opens_the_page(station: VirtualStation) -> None:
    with at_a_terminal(station) as screen:
        give_up = time.monotonic() + TIMEOUT_SECONDS
        while (found := LINK.search(screen())) is None:
            assert time.monotonic() < give_up, screen()
            time.sleep(0.1)
        assert f"birthmark-station open --data-dir {station.data_dir}" in screen()
        door, secret = found.groups()
        assert opens(door, secret)
        assert not opens(door, secret)


@pytest.mark.attack("who reads the station's log and every process's arguments looks for a link to the page")
def test_no_link_is_in_a_log_or_in_a_processs_arguments(station: VirtualStation, got: Callable[[str], None]) -> None:
    with station:
        station.start()
        before = arguments_of_all_processes()
        door, _, secret = station.link().partition("#")
        assert opens(door, secret)
        assert not opens(door, secret)
        log = station.log.read_text()
        assert "birthmark-station open --data-dir" in log, "it says how to get one"
        assert LINK.search(log + before + arguments_of_all_processes()) is None
        assert secret not in log + arguments_of_all_processes()
        got(f"nothing in {len(log)} bytes of log and the arguments of {before.count(chr(10))} processes")
