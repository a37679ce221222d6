"""Faults of the station: killed at any await, two sessions for one unit at once, a locked registry."""

from __future__ import annotations

import asyncio
import shutil
import sqlite3
import threading
import time
from collections.abc import Callable, Coroutine, Generator, Iterable, Sequence
from contextlib import AsyncExitStack
from functools import cache, partial
from pathlib import Path
from typing import Any
from unittest import mock

from station.registry import sqlite
from station.registry.records import Unit
from station.services import Services
from tests.fault_injection.simulated_cable import StationLine
from tests.fault_injection.sweep import Outcome, Point, Sweep, Verdict, audited, judged
from tests.fault_injection.testbed import Testbed, new_testbed, run, station_of, station_with
from tests.fault_injection.unit import Ended, Pi


class Stepped:
    """A coroutine that stops after each of its awaits, before it goes on, and calls `stop` with their number.

    What it awaited is over by then, so nothing is half done; between two stops it runs uninterrupted.
    """

    def __init__(self, coroutine: Coroutine[Any, Any, Unit], stop: Callable[[int], Coroutine[Any, Any, None]]) -> None:
        self._coroutine = coroutine
        self._stop = stop

    def __await__(self) -> Generator[Any, Any, Unit]:
        awaits = 0
        inner = self._coroutine.__await__()
        thrown: BaseException | None = None
        while True:
            try:
                awaited = inner.throw(thrown) if thrown else next(inner)
            except StopIteration as done:
                unit: Unit = done.value
                return unit
            thrown = None
            try:
                yield awaited
            except BaseException as error:  # noqa: BLE001 - a time-out or cancellation: it is the coroutine's
                thrown = error
            awaits += 1
            yield from self._stop(awaits).__await__()


@cache
def awaits() -> int:
    """Count the awaits of the station's side of a whole session."""

    async def count(testbed: Testbed) -> int:
        last = 0

        async def note(number: int) -> None:
            nonlocal last
            last = number

        async with station_of(testbed) as station:
            assert (
                await testbed.plug(station, testbed.new_pi(), around=lambda talk, _: _as_coroutine(talk, note))
            ).well
        return last

    with new_testbed() as testbed:
        return run(testbed, count(testbed))


async def _as_coroutine(talk: Coroutine[Any, Any, Unit], stop: Callable[[int], Coroutine[Any, Any, None]]) -> Unit:
    return await Stepped(talk, stop)


def every_await(*variants: object) -> list[Point]:
    return [(number, variant) for number in range(1, awaits() + 1) for variant in variants]


# --- killed ---


def attempt_kill(points: Sequence[Point]) -> Iterable[Verdict]:
    """Kill the station; the next one has only the files.

    The agent notices nothing and gets the next station's Hello in the middle of its session, or, in the other variant,
    loses its power, too.
    """

    async def sweep(testbed: Testbed) -> list[Verdict]:
        async with station_of(testbed) as station:
            return [await attempt_one(testbed, station, point) for point in points]

    async def attempt_one(testbed: Testbed, station: Services, point: Point) -> Verdict:
        number, both = point
        pi = testbed.new_pi()
        left = testbed.data_dir.parent / f"left-{pi.serial}.sqlite"
        async with AsyncExitStack() as stack:
            restarted = station

            async def die_and_return(talk: Coroutine[Any, Any, Unit], line: StationLine) -> Unit:
                nonlocal restarted

                async def strike(awaited: int) -> None:
                    if awaited == number:
                        _copy_as_it_lies(testbed.registry, left)
                        line.dead = True

                try:
                    unit = await Stepped(talk, strike)
                    if not line.dead:  # this session had fewer awaits
                        return unit
                except OSError:
                    assert line.dead
                line.dead = False
                restarted = await stack.enter_async_context(station_with(station, testbed, left))
                if both:
                    line.unplug()
                    raise OSError("no power")
                return await testbed.conversation(restarted, line)

            first = await testbed.plug(station, pi, around=die_and_return)
            if both:
                pi.power_off()
            verdict = await judged(testbed, restarted, pi, point, first)
            return (await audited(testbed, restarted, [verdict]))[0]

    with new_testbed() as testbed:
        return run(testbed, sweep(testbed))


def _copy_as_it_lies(registry: Path, copy: Path) -> None:
    for suffix in ("", "-wal", "-shm"):
        part = Path(f"{registry}{suffix}")
        if part.exists():
            shutil.copy(part, f"{copy}{suffix}")


# --- two at once ---

_STUCK_SECONDS = 0.1
"""The real time after which a session counts as waiting for the other's transaction."""


def attempt_twins(points: Sequence[Point]) -> Iterable[Verdict]:
    """Stop the first session at one await until the second, on another port, has gone as far as it can."""

    async def sweep(testbed: Testbed) -> list[Verdict]:
        async with station_of(testbed) as station:
            verdicts = [await attempt_one(testbed, station, number) for number, _ in points]
            return await audited(testbed, station, verdicts)

    async def attempt_one(testbed: Testbed, station: Services, number: int) -> Verdict:
        pi = testbed.new_pi()
        twin = Pi(testbed.data_dir.parent / f"{pi.serial}-twin", pi.serial, source=pi.source)
        shutil.copytree(pi.directory, twin.directory)
        other: asyncio.Task[Ended] | None = None

        async def let_the_other_go(awaited: int) -> None:
            nonlocal other
            if awaited != number:
                return
            other = asyncio.create_task(testbed.plug(station, twin))
            until = time.monotonic() + _STUCK_SECONDS
            while not other.done() and time.monotonic() < until:
                await asyncio.sleep(0)
                time.sleep(0.0002)  # noqa: ASYNC251 - real time for the registry's threads; the loop's stands still

        first = await testbed.plug(station, pi, around=lambda talk, _: _as_coroutine(talk, let_the_other_go))
        assert other is not None
        second = await other
        if len(pi.let_out | twin.let_out) > 1:
            return Verdict(number, Outcome.TWICE, "each session has given out a certificate of its own")
        verdict = await judged(testbed, station, pi, number, first)
        return await judged(testbed, station, twin, number, second) if verdict.outcome is Outcome.RECOVERED else verdict

    with new_testbed() as testbed:
        return run(testbed, sweep(testbed))


# --- a locked registry ---


def attempt_lock(points: Sequence[Point]) -> Iterable[Verdict]:
    """Lock the registry from one await on: for a while, or for longer than the station waits."""

    async def sweep(testbed: Testbed, *, long: bool) -> list[Verdict]:
        async with station_of(testbed) as station:
            chosen = [point for point in points if point[1] is long]
            return await audited(testbed, station, [await attempt_one(testbed, station, point) for point in chosen])

    async def attempt_one(testbed: Testbed, station: Services, point: Point) -> Verdict:
        number, long = point
        pi = testbed.new_pi()
        backup = sqlite3.connect(testbed.registry, timeout=0, isolation_level=None, check_same_thread=False)
        held = False
        timer = threading.Timer(0.15, lambda: backup.rollback())

        async def lock(awaited: int) -> None:
            nonlocal held
            if awaited < number or held:
                return
            try:
                backup.execute("BEGIN EXCLUSIVE")
            except sqlite3.OperationalError:
                return  # the session is writing now: lock at the next await
            held = True
            if not long:
                timer.start()

        first = await testbed.plug(station, pi, around=lambda talk, _: _as_coroutine(talk, lock))
        if held and not long:
            timer.join()
        backup.close()
        if not long and not first.well:
            return Verdict(point, Outcome.LOST, f"it did not wait for the lock: {first.told()}")
        if not first.well and getattr(first.station, "code", "") != "registry.unavailable":
            return Verdict(point, Outcome.LOST, f"not told as a locked registry: {first.told()}")
        return await judged(testbed, station, pi, point, first)

    verdicts = []
    for long, timeouts in ((False, sqlite.BUSY_SECONDS), (True, 0.05)):
        with mock.patch.object(sqlite, "BUSY_SECONDS", timeouts), new_testbed() as testbed:
            verdicts += run(testbed, sweep(testbed, long=long))
    return verdicts


SWEEPS = (
    Sweep("station killed at an await", partial(every_await, False, True), attempt_kill, sample=1000),
    Sweep("two sessions for one unit at once", partial(every_await, None), attempt_twins, sample=16),
    Sweep("registry locked by another program", partial(every_await, False, True), attempt_lock, sample=16),
)
