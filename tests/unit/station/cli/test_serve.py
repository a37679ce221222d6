"""A stop lets sessions finish; a second signal does not wait for them."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from station.cli import serve
from station.cli.connections import CONNECTIONS_MAX
from station.events import Bus, PortChanged, PortState
from station.ports.watch import _PORTS_MAX
from virtual.timeouts import TIMEOUT_SECONDS


async def settled(task: asyncio.Task[None]) -> bool:
    for _ in range(20):
        await asyncio.sleep(0)
    return task.done()


@pytest.fixture
def bus() -> Bus:
    bus = Bus()
    bus.tell(PortChanged("a", PortState.WORKING, step=3))
    bus.tell(PortChanged("b", PortState.WAITING))
    return bus


async def test_a_stop_waits_for_the_session_under_way_and_for_no_idle_port(bus: Bus) -> None:
    stop = asyncio.Event()
    stopping = asyncio.create_task(serve._wait_for_stop(stop, bus))
    assert not await settled(stopping)
    stop.set()
    assert not await settled(stopping)
    bus.tell(PortChanged("a", PortState.WORKING, step=5))
    assert not await settled(stopping)
    bus.tell(PortChanged("a", PortState.DONE, step=6))
    await asyncio.wait_for(stopping, TIMEOUT_SECONDS)


async def test_a_second_signal_ends_the_waiting(bus: Bus) -> None:
    stop = asyncio.Event()
    stopping = asyncio.create_task(serve._wait_for_stop(stop, bus))
    stop.set()
    assert not await settled(stopping)
    stop.set()
    await asyncio.wait_for(stopping, TIMEOUT_SECONDS)


async def test_a_session_that_never_ends_does_not_hold_the_station_for_ever(
    bus: Bus, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(serve, "DRAIN_SECONDS", 0.01)
    stop = asyncio.Event()
    stop.set()
    await asyncio.wait_for(serve._wait_for_stop(stop, bus), TIMEOUT_SECONDS)


def test_systemd_waits_longer_for_the_station_than_the_station_for_its_sessions() -> None:
    unit = (Path(__file__).parents[4] / "systemd/birthmark-station.service").read_text()
    (seconds,) = (line.split("=")[1] for line in unit.splitlines() if line.startswith("TimeoutStopSec="))
    assert float(seconds) > serve.DRAIN_SECONDS


def test_systemd_gives_the_station_descriptors_for_every_port_beside_all_connections() -> None:
    unit = (Path(__file__).parents[4] / "systemd/birthmark-station.service").read_text()
    (given,) = (int(line.split("=")[1]) for line in unit.splitlines() if line.startswith("LimitNOFILE="))
    assert given // 4 >= CONNECTIONS_MAX
    assert given - CONNECTIONS_MAX >= 8 * _PORTS_MAX
