"""A port may hang up on ten sessions at once, then on one each ten seconds; nobody ever waits longer than that."""

from __future__ import annotations

from station.ports.restraint import _PORTS_MAX, BURST, SECONDS_EACH, Restraint

DAY = 86_400


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_a_unit_that_was_interrupted_a_few_times_waits_for_nothing() -> None:
    restraint = Restraint(Clock())
    for _ in range(BURST):
        assert restraint.seconds("a") == 0
        restraint.hung_up("a")
    assert restraint.seconds("a") == 0


def test_after_that_the_port_is_left_alone_for_ten_seconds_at_most() -> None:
    clock = Clock()
    restraint = Restraint(clock)
    for _ in range(BURST + 1):
        restraint.hung_up("a")
    assert restraint.seconds("a") == SECONDS_EACH
    clock.now += 4
    assert restraint.seconds("a") == SECONDS_EACH - 4
    clock.now += 6
    assert restraint.seconds("a") == 0


def test_a_port_that_was_quiet_for_a_while_is_as_good_as_new() -> None:
    clock = Clock()
    restraint = Restraint(clock)
    for _ in range(BURST + 1):
        restraint.hung_up("a")
    clock.now += (BURST + 1) * SECONDS_EACH
    for _ in range(BURST):
        restraint.hung_up("a")
    assert restraint.seconds("a") == 0


def test_a_day_of_hanging_up_is_a_bounded_number_of_sessions_and_no_wait_is_longer_than_ten_seconds() -> None:
    clock = Clock()
    restraint = Restraint(clock)
    sessions, longest, end = 0, 0.0, clock.now + DAY
    while clock.now < end:
        wait = restraint.seconds("a")
        longest = max(longest, wait)
        clock.now += wait + 0.58  # as fast as was measured before there was a bound: 149,000 a day
        restraint.hung_up("a")
        sessions += 1
    assert sessions <= BURST + DAY / SECONDS_EACH + 1
    assert longest <= SECONDS_EACH


def test_one_port_does_not_make_another_wait_and_the_number_remembered_is_bounded() -> None:
    restraint = Restraint(Clock())
    for _ in range(BURST + 5):
        restraint.hung_up("a")
    assert restraint.seconds("b") == 0
    for number in range(2 * _PORTS_MAX):
        restraint.hung_up(str(number))
    assert len(restraint._ports) == _PORTS_MAX
