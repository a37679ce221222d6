"""A station that can never find a port says so, and what to do; others serve the ports that exist."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from station.config import SessionConfig
from station.events import Bus, NoticeChanged, Topic
from station.ports import udev_rule, watch
from station.ports.allowed import AllowedPorts
from station.ports.watch import DEFAULT_PATTERN, present, serve_ports, why_none
from station.provisioning.cable import CableProvisioner


def test_only_a_station_that_needs_the_missing_rule_is_warned() -> None:
    def yes() -> bool:
        return True

    def no() -> bool:
        return False

    told = why_none((DEFAULT_PATTERN,), set(), no)
    assert f"udev/{udev_rule.RULE}" in told
    assert "--serial-port '/dev/ttyACM*'" in told
    assert why_none((DEFAULT_PATTERN,), set(), yes) == ""
    assert why_none((DEFAULT_PATTERN,), {Path("/dev/birthmark/1-1")}, no) == ""
    assert why_none(("/dev/ttyACM*",), set(), no) == ""


async def test_the_notice_comes_at_once_and_goes_when_the_rule_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    rule = SimpleNamespace(there=False)
    monkeypatch.setattr(udev_rule, "is_installed", lambda: rule.there)
    monkeypatch.setattr(watch, "present", lambda _: set())
    bus = Bus()
    with bus.listen() as events:
        serving = asyncio.create_task(
            serve_ports((DEFAULT_PATTERN,), cast("CableProvisioner", None), bus, SessionConfig())
        )
        async with asyncio.timeout(30):
            match await events.get():
                case NoticeChanged(topic=Topic.PORTS, text=text):
                    assert text == bus.notice(Topic.PORTS)
                    assert "udev rule" in text
            rule.there = True
            assert await events.get() == NoticeChanged(Topic.PORTS, "")
    serving.cancel()


# --- the ports that are served ---


def test_a_pattern_finds_existing_ports_and_a_plain_path_always_counts(tmp_path: Path) -> None:
    (tmp_path / "ttyACM0").touch()
    (tmp_path / "ttyS0").touch()
    absent = tmp_path / "ttyUSB7"
    assert present([str(tmp_path / "ttyACM*"), str(absent)]) == {tmp_path / "ttyACM0", absent}
    assert present([str(tmp_path / "none*")]) == set()


class Served:
    """Records the names of the ports that are being served."""

    def __init__(self) -> None:
        self.names: set[str] = set()
        self._changed = asyncio.Event()

    async def serve(self, path: Path, *_: object) -> None:
        self.names.add(path.name)
        self._changed.set()
        try:
            await asyncio.Event().wait()
        finally:
            self.names.remove(path.name)
            self._changed.set()

    async def become(self, *names: str) -> None:
        """Wait until exactly these ports are served."""
        async with asyncio.timeout(30):
            while self.names != set(names):
                self._changed.clear()
                await self._changed.wait()


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> Served:
    served = Served()
    monkeypatch.setattr(watch, "serve_port", served.serve)
    monkeypatch.setattr(watch, "_LOOK_SECONDS", 0.01)
    return served


@asynccontextmanager
async def serving(pattern: Path, allowed: AllowedPorts | None = None) -> AsyncIterator[None]:
    task = asyncio.create_task(
        serve_ports((str(pattern),), cast("CableProvisioner", None), Bus(), SessionConfig(), allowed)
    )
    try:
        yield
    finally:
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task


async def test_a_port_is_served_from_when_it_comes_until_it_goes(tmp_path: Path, served: Served) -> None:
    async with serving(tmp_path / "tty*"):
        (tmp_path / "tty1").touch()
        await served.become("tty1")
        (tmp_path / "tty2").touch()
        await served.become("tty1", "tty2")
        (tmp_path / "tty1").unlink()
        await served.become("tty2")
    assert served.names == set(), "a port is still served after the end"


async def test_a_port_that_the_list_no_longer_allows_is_served_no_more(tmp_path: Path, served: Served) -> None:
    device = tmp_path / "devices/usb1/1-1/1-1:1.0"
    device.mkdir(parents=True)
    (tmp_path / "sys/tty1").mkdir(parents=True)
    (tmp_path / "sys/tty1/device").symlink_to(device)
    (tmp_path / "ports.d").mkdir()
    (tmp_path / "tty1").touch()
    async with serving(tmp_path / "tty*", AllowedPorts(tmp_path / "ports.d", tmp_path / "sys")):
        await served.become("tty1")
        (tmp_path / "ports.d" / "bench.conf").write_text("1-2\n")
        await served.become()
        (tmp_path / "ports.d" / "bench.conf").write_text("1-1\n")
        await served.become("tty1")


async def test_more_ports_than_the_limit_wait_until_one_goes(
    tmp_path: Path, served: Served, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(watch, "_PORTS_MAX", 2)
    for name in ("tty1", "tty2", "tty3"):
        (tmp_path / name).touch()
    with caplog.at_level(logging.WARNING, logger="station.ports.watch"):
        async with serving(tmp_path / "tty*"):
            await served.become("tty1", "tty2")
            (tmp_path / "tty1").unlink()
            await served.become("tty2", "tty3")
    assert [record.getMessage() for record in caplog.records] == [
        "more than 2 ports: the rest wait until one is unplugged"
    ]
