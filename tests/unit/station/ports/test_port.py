"""A port that udev reports as gone before the line hangs up: its session is still reported as failed."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from shared.errors import BirthmarkError
from station.config import SessionConfig
from station.events import Bus, BusEvent, PortChanged, PortGone, PortState
from station.ports import port as ports
from virtual.cable import Cable, End


async def cancelled_in_mid_session(
    directory: Path, monkeypatch: pytest.MonkeyPatch, *, vanished: bool
) -> list[BusEvent]:
    """Return the bus's events after the task of a port with a running session was cancelled."""
    working = asyncio.Event()

    async def session(_line: object, port: str, _provisioner: object, bus: Bus, _config: object) -> None:
        bus.tell(PortChanged(port, PortState.WORKING, step=3, serial="10000000abcdef01"))
        working.set()
        await asyncio.Event().wait()

    monkeypatch.setattr(ports, "_serve_line", session)
    bus, nobody = Bus(), object()
    with Cable(directory) as cable, bus.listen() as events:
        path = cable.paths[End.STATION]
        provisioner: Any = nobody
        task = asyncio.create_task(ports.serve_port(path, provisioner, bus, SessionConfig()))
        await working.wait()
        while not events.empty():
            events.get_nowait()
        if vanished:
            path.unlink()  # the line itself has not hung up yet
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        return [events.get_nowait() for _ in range(events.qsize())]


async def test_a_session_whose_port_vanishes_is_reported_as_unplugged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    [failed, gone] = await cancelled_in_mid_session(tmp_path, monkeypatch, vanished=True)
    assert isinstance(failed, PortChanged)
    assert (failed.state, failed.code, failed.step) == (PortState.FAILED, "link.lost", 3)
    assert failed.serial == "10000000abcdef01"
    assert isinstance(gone, PortGone)


async def test_a_session_ended_by_the_station_is_not_reported_as_unplugged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    [gone] = await cancelled_in_mid_session(tmp_path, monkeypatch, vanished=False)
    assert isinstance(gone, PortGone)


async def test_the_advice_for_a_wrong_port_is_the_stations_at_a_station(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for path, code in ((tmp_path / "none", "link.no-port"), (tmp_path / "file", "link.not-a-port")):
        with pytest.raises(BirthmarkError) as caught:
            async with ports.open_line(path):
                pass
        assert caught.value.code == code
        assert "--serial-port" in caught.value.advice
        assert "dtoverlay" not in caught.value.advice
