"""The bus: every listener is told every event from when it began to listen, and a slow one that it has lost some."""

from __future__ import annotations

import asyncio

from station.events import _QUEUE, Bus, BusEvent, Lost, PortChanged, PortGone, PortState, UnitChanged

WAITING = PortChanged("a", PortState.WAITING)


def heard(queue: asyncio.Queue[BusEvent]) -> list[BusEvent]:
    return [queue.get_nowait() for _ in range(queue.qsize())]


def test_every_listener_gets_the_events_after_it_began_to_listen() -> None:
    bus = Bus()
    with bus.listen() as first:
        bus.tell(UnitChanged("1"))
        with bus.listen() as second:
            bus.tell(UnitChanged("2"))
        bus.tell(UnitChanged("3"))
        assert heard(first) == [UnitChanged("1"), UnitChanged("2"), UnitChanged("3")]
        assert heard(second) == [UnitChanged("2")]


def test_the_present_state_of_each_port_is_known_in_the_order_of_their_names() -> None:
    bus = Bus()
    bus.tell(PortChanged("b", PortState.WAITING))
    bus.tell(WAITING)
    bus.tell(PortChanged("b", PortState.WORKING, step=2))
    assert bus.ports() == [WAITING, PortChanged("b", PortState.WORKING, step=2)]
    bus.tell(PortGone("b"))
    assert bus.ports() == [WAITING]
    bus.tell(PortGone("never there"))
    assert bus.ports() == [WAITING]


def test_an_unchanged_port_is_not_reported_again() -> None:
    bus = Bus()
    with bus.listen() as events:
        for _ in range(3):
            bus.tell(WAITING)
        bus.tell(PortGone("a"))
        bus.tell(WAITING)
        assert heard(events) == [WAITING, PortGone("a"), WAITING]


def test_a_slow_listener_gets_lost_and_the_others_miss_nothing() -> None:
    bus = Bus()
    with bus.listen() as slow, bus.listen() as quick:
        everything: list[BusEvent] = []
        for number in range(_QUEUE + 2):
            bus.tell(UnitChanged(str(number)))
            everything += heard(quick)
        assert everything == [UnitChanged(str(number)) for number in range(_QUEUE + 2)]
        assert heard(slow) == [Lost(), UnitChanged(str(_QUEUE + 1))]
