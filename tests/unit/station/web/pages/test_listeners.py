"""How many pages may listen: of one client, of all, and of who operates the station."""

from __future__ import annotations

from contextlib import ExitStack

import pytest

from shared.errors import BirthmarkError
from station.web.pages.listeners import FOR_THE_OPERATOR, LISTENERS_MAX, OF_ONE_CLIENT, Listeners


def nothing() -> None:
    pass


def test_a_clients_listener_beyond_its_share_ends_its_oldest_and_nobody_elses() -> None:
    listeners = Listeners()
    ended: list[object] = []
    with ExitStack() as stack:
        stack.enter_context(listeners.added("other", lambda: ended.append("other"), operator=False))
        for number in range(OF_ONE_CLIENT + 2):
            stack.enter_context(listeners.added("greedy", lambda number=number: ended.append(number), operator=False))  # type: ignore[misc]
        assert ended == [0, 1]
        assert len(listeners) == 1 + OF_ONE_CLIENT
    assert len(listeners) == 0


def test_many_clients_leave_room_for_the_operator() -> None:
    listeners = Listeners()
    with ExitStack() as stack:
        for number in range(LISTENERS_MAX - FOR_THE_OPERATOR):
            stack.enter_context(listeners.added(f"client {number}", nothing, operator=False))
        with (
            pytest.raises(BirthmarkError, match=r"http\.too-many-listeners"),
            listeners.added("one more", nothing, operator=False),
        ):
            pass
        for number in range(FOR_THE_OPERATOR):
            stack.enter_context(listeners.added(f"operator {number}", nothing, operator=True))
        assert len(listeners) == LISTENERS_MAX
