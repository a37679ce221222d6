"""A port whose device hangs up: its session is reported as failed, and who does it over and over has to wait."""

import asyncio
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from shared.errors import BirthmarkError
from station.config import SessionConfig
from station.events import Bus, BusEvent, PortChanged, PortGone, PortState
from station.ports import port as ports
from station.ports.restraint import BURST, Restraint
from virtual.cable import Cable, End


async def cancelled_in_mid_session(
    directory: Path, monkeypatch: pytest.MonkeyPatch, *, vanished: bool
) -> list[BusEvent]:
    """Return the bus's events after the task of a port with a running session was cancelled."""
    working = asyncio.Event()

    async def session(_line: object, port: str, _provisioner: object, bus: Bus, *_: object) -> None:
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


# --- hanging up ---


class Ends:
    """A conversation that ends at once, in place of `Conversation`; counts how often one is begun."""

    begun = 0
    underway = False
    resumed = False

    def __init__(self, *_: object) -> None:
        type(self).begun += 1

    async def run(self) -> Any:
        raise OSError("hung up")


class HangsUp(Ends):
    underway = True


class NeverAnswers(Ends):
    pass


class Refused(Ends):
    async def run(self) -> Any:
        raise BirthmarkError("link.noise")


class Resumed(Ends):
    resumed = True

    async def run(self) -> Any:
        return SimpleNamespace(serial="10000000abcdef01")


class New(Resumed):
    resumed = False


class Gone:
    """A line that hangs up as soon as the station waits."""

    async def read(self) -> bytes:
        raise OSError("hung up")


async def hung_up(ends: type[Ends], monkeypatch: pytest.MonkeyPatch) -> float:
    """How long a port is left alone after ever so many sessions that end like this, each on a line of its own."""
    monkeypatch.setattr(ports, "Conversation", ends)
    restraint, line, nobody = Restraint(lambda: 1000.0), Gone(), object()
    for _ in range(50):
        with pytest.raises(OSError, match="hung up"):
            await ports._serve_line(line, "port", nobody, Bus(), SessionConfig(), restraint)  # type: ignore[arg-type]
    return restraint.seconds("port")


@pytest.mark.parametrize(
    ("ends", "counts"), [(HangsUp, True), (Refused, True), (Resumed, True), (New, False), (NeverAnswers, False)]
)
async def test_who_hangs_up_in_a_session_or_does_not_wait_after_one_is_left_alone(
    ends: type[Ends], counts: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not who was provisioned just now, and not who was never heard of: units are unplugged."""
    assert (await hung_up(ends, monkeypatch) > 0) == counts


async def test_a_port_that_hangs_up_on_every_session_is_not_opened_for_a_while(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ports, "Conversation", HangsUp)
    monkeypatch.setattr(ports, "_REOPEN_SECONDS", 0.0)
    HangsUp.begun = 0
    bus, nobody = Bus(), object()
    with Cable(tmp_path) as cable, bus.listen() as events:
        path = cable.paths[End.STATION]
        restraint = Restraint(lambda: 1000.0)
        task = asyncio.create_task(ports.serve_port(path, nobody, bus, SessionConfig(), restraint))  # type: ignore[arg-type]
        note = ""
        while not note.startswith("Hung up too often"):
            event = await events.get()
            note = event.note if isinstance(event, PortChanged) else note
        await asyncio.sleep(0.5)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert note == "Hung up too often: left alone for 10 s"
    assert HangsUp.begun == BURST + 1
