"""Wrong clocks: the Pi's in 1970, in 2038, or jumping in every step; the station's behind what it signed."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from unittest import mock

from station.provisioning.cable import CableProvisioner
from station.services import Services
from tests.fault_injection.simulated_cable import Fault
from tests.fault_injection.sweep import Outcome, Point, Sweep, Verdict, audited, judged
from tests.fault_injection.testbed import Testbed, new_testbed, run, station_of
from tests.fault_injection.unit import Ended, Pi
from virtual.cable import End

HOUR = 3600
YEAR = 365 * 24 * HOUR
STORIES = ("new", "again", "cut")
"""A new unit; a provisioned one that comes back; one whose session was cut before it had stored anything."""


def set_clock(provisioner: CableProvisioner, clock: Callable[[], float]) -> None:
    provisioner._clock = clock


# --- the station's clock ---

BEHIND = (1, 60, 301, HOUR, 24 * HOUR, YEAR, 50 * YEAR)
"""Seconds by which the station's clock goes back; certificates begin 300 s before they are made."""


def every_step_back() -> list[Point]:
    """Return every point at which the clock goes back: before the session, or between two of its messages."""
    return [(story, seconds, write) for story in STORIES for seconds in BEHIND for write in range(8)]


class Jump(Fault):
    """Calls a function when the `number`-th message of the session is sent."""

    def __init__(self, number: int, happens: Callable[[], None]) -> None:
        self._number = number
        self._happens = happens

    def carry(self, write: int, sender: End, data: bytes) -> list[tuple[float, bytes]]:
        if write == self._number:
            self._happens()
        return super().carry(write, sender, data)


class CutBefore(Fault):
    def __init__(self, number: int) -> None:
        self._number = number

    def carry(self, write: int, sender: End, data: bytes) -> list[tuple[float, bytes]]:
        self.cut = write >= self._number
        return [] if self.cut else super().carry(write, sender, data)


async def _prepared(story: str, testbed: Testbed, station: Services) -> Pi:
    pi = testbed.new_pi()
    if story == "again":
        assert (await testbed.plug(station, pi)).well
    if story == "cut":
        await testbed.plug(station, pi, CutBefore(4))
    return pi


def attempt_behind(points: Sequence[Point]) -> Iterable[Verdict]:
    """Each session must succeed at once with the wrong clock, and again after it has been corrected."""

    async def sweep(testbed: Testbed) -> list[Verdict]:
        async with station_of(testbed) as station:
            verdicts = []
            for story, seconds, write in points:
                set_clock(station.provisioner, time.time)
                pi = await _prepared(story, testbed, station)

                def go_back(seconds: int = seconds) -> None:
                    set_clock(station.provisioner, lambda: max(time.time() - seconds, 0))

                if write == 0:
                    go_back()
                first = await testbed.plug(station, pi, Jump(write - 1, go_back))
                verdicts.append(await _both(testbed, station, pi, (story, seconds, write), first))
            set_clock(station.provisioner, time.time)
            return await audited(testbed, station, verdicts)

    async def _both(testbed: Testbed, station: Services, pi: Pi, point: Point, first: Ended) -> Verdict:
        if not first.well:
            return Verdict(point, Outcome.LOST, f"refused for its clock: {first.told()}")
        set_clock(station.provisioner, time.time)
        pi.power_off()
        return await judged(testbed, station, pi, point)

    with new_testbed() as testbed:
        return run(testbed, sweep(testbed))


# --- the Pi's clock ---

PI_TIMES = {"1970": 0.0, "2038": 2.0**31 + 5, "2106": 2.0**32 + 5}


def every_pi_clock() -> list[Point]:
    """Return every wrong time, fixed or alternating with each message, and the message from which on it holds."""
    return [(name, story, write) for name in PI_TIMES for story in STORIES for write in range(8)]


def attempt_pi_clock(points: Sequence[Point]) -> Iterable[Verdict]:
    """Give this process a wrong time; the station has its own clock.

    `processes` has a sample in which a whole agent process has a wrong clock.
    """

    async def sweep(testbed: Testbed) -> list[Verdict]:
        async with station_of(testbed) as station:
            real = time.time
            set_clock(station.provisioner, real)
            verdicts = []
            for name, story, write in points:
                pi = await _prepared(story, testbed, station)
                pi.power_off()
                jumps = [0]

                def jump(jumps: list[int] = jumps) -> None:
                    jumps[0] += 1

                def wrong(name: str = name, jumps: list[int] = jumps) -> float:
                    return real() if jumps[0] % 2 else PI_TIMES[name]

                with mock.patch.object(time, "time", wrong):
                    first = await testbed.plug(station, pi, Jump(write, jump))
                if not first.well:
                    verdicts.append(Verdict((name, story, write), Outcome.LOST, f"not in one go: {first.told()}"))
                    continue
                verdicts.append(await judged(testbed, station, pi, (name, story, write), first))
            return await audited(testbed, station, verdicts)

    with new_testbed() as testbed:
        return run(testbed, sweep(testbed))


SWEEPS = (
    Sweep("station's clock set back in or before a session", every_step_back, attempt_behind, sample=1000),
    Sweep("Pi's clock in 1970, 2038, 2106, or jumping", every_pi_clock, attempt_pi_clock, sample=1000),
)
