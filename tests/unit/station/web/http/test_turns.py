"""While a session is in progress requests take turns; else they do not wait for each other."""

from __future__ import annotations

import asyncio

import pytest

from shared.errors import BirthmarkError
from station.events import Bus, PortChanged, PortState
from station.web.http import turns
from station.web.http.turns import Turn, Turns

PORT = "/dev/ttyACM0"


@pytest.fixture
def bus() -> Bus:
    made = Bus()
    made.tell(PortChanged(PORT, PortState.WORKING, 1))
    return made


async def taken(turn: Turn) -> bool:
    """Whether the turn comes within a moment."""
    try:
        async with asyncio.timeout(0.1):
            await turn.take()
    except TimeoutError:
        return False
    return True


async def test_without_a_session_nobody_waits(bus: Bus) -> None:
    bus.tell(PortChanged(PORT, PortState.DONE, 6))
    all_turns = Turns(bus)
    assert all([await taken(Turn(all_turns)) for _ in range(100)])


async def test_during_a_session_there_is_one_turn_at_a_time(bus: Bus) -> None:
    all_turns = Turns(bus)
    first, second = Turn(all_turns), Turn(all_turns)
    assert await taken(first)
    assert not await taken(second)
    first.give()
    first.give()  # once is enough
    assert await taken(second)
    assert not await taken(first)


async def test_after_a_turn_the_ports_have_several_times_as_long(bus: Bus, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turns, "REST_SECONDS_MAX", 3600.0)
    all_turns = Turns(bus)
    turn = Turn(all_turns)
    await turn.take()
    await asyncio.sleep(0.05)
    turn.give()
    begun = asyncio.get_running_loop().time()
    await turn.take()
    assert asyncio.get_running_loop().time() - begun >= 0.05 * turns.REST * 0.9


async def test_who_waits_for_the_client_lets_the_next_go_first(bus: Bus) -> None:
    all_turns = Turns(bus)
    slow, quick = Turn(all_turns), Turn(all_turns)
    await slow.take()
    async with slow.given_up():
        assert await taken(quick)
        quick.give()
    assert not await taken(quick), "it has taken it again"


async def test_the_end_of_the_session_lets_all_through(bus: Bus) -> None:
    all_turns = Turns(bus)
    first = Turn(all_turns)
    await first.take()
    waiting = [asyncio.create_task(taken(Turn(all_turns))) for _ in range(3)]
    await asyncio.sleep(0)
    bus.tell(PortChanged(PORT, PortState.DONE, 6))
    first.give()
    assert await taken(Turn(all_turns))
    assert await waiting[0]


async def test_a_turn_that_does_not_come_is_an_error(bus: Bus, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turns, "WAIT_SECONDS", 0.05)
    all_turns = Turns(bus)
    await Turn(all_turns).take()
    with pytest.raises(BirthmarkError, match=r"http\.too-slow"):
        await Turn(all_turns).take()
