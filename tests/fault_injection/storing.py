"""Faults while the agent stores: killed or out of space at each operation, and power cuts as the disk sees them."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from contextlib import closing
from functools import cache, partial
from pathlib import Path
from unittest import mock

from device_agent.storage import state_dir
from device_agent.storage.disk import Disk
from device_agent.storage.sealed_map import open_map
from shared.errors import BirthmarkError
from station.services import Services
from tests.fault_injection.cable import FaultyByte, cut
from tests.fault_injection.power_cut import Recorder, materialise, states
from tests.fault_injection.sweep import Outcome, Point, Sweep, Verdict, audited, judged
from tests.fault_injection.testbed import Testbed, new_testbed, run, snapshot, station_of, station_with
from tests.fault_injection.unit import Pi

STORIES = ("first", "again", "resumed")
"""A new unit; a unit that is done and plugged in again; a unit whose first session was cut off before Done."""


async def told(story: str, testbed: Testbed, station: Services) -> Pi:
    """Make a unit with this story, just before the session that the fault is in."""
    pi = testbed.new_pi()
    if story == "again":
        assert (await testbed.plug(station, pi)).well
    if story == "resumed":
        await testbed.plug(station, pi, FaultyByte(cut, 6, 0))
        assert pi.identity() is not None
    pi.power_off()
    return pi


class Killed(BaseException):
    """Stands for SIGKILL: no handler of errors catches it."""


class Failing(Disk):
    """A disk whose `first`-th operation fails; with `long`, and from then on every writing of content.

    With `kill` it is the agent that ends there: before the operation, or `halfway` through it or just after.
    """

    def __init__(self, first: int, *, long: bool = False, kill: bool = False, halfway: bool = False) -> None:
        self.first, self.long, self.kill, self.halfway = first, long, kill, halfway
        self.done = 0

    def _fails(self, name: str) -> bool:
        self.done += 1
        return self.done - 1 == self.first or (self.long and name == "write" and self.done > self.first)

    def _fail(self) -> None:
        raise Killed if self.kill else BirthmarkError("disk.full", "No space left on device")


def _failing(name: str) -> None:
    def operation(self: Failing, *arguments: object) -> None:
        method = getattr(Disk, name)
        if not self._fails(name):
            method(self, *arguments)
            return
        if self.kill and self.halfway:
            if name == "write":
                assert isinstance(arguments[0], Path)
                assert isinstance(arguments[1], bytes)
                arguments[0].write_bytes(arguments[1][: len(arguments[1]) // 2])
            else:
                method(self, *arguments)
        elif name == "write":  # the entry fits, the content does not
            assert isinstance(arguments[0], Path)
            arguments[0].write_bytes(b"")
        if name == "remove" and not self.kill:  # that needs no space
            method(self, *arguments)
            return
        self._fail()

    setattr(Failing, name, operation)


OPERATIONS = ("make_directory", "write", "link", "point", "rename", "sync", "remove")
for _name in OPERATIONS:
    _failing(_name)


@cache
def operations(story: str) -> int:
    """Count the disk operations of the session that the fault is in."""

    async def count(testbed: Testbed) -> int:
        async with station_of(testbed) as station:
            pi = await told(story, testbed, station)
            disk = pi.disk = Failing(1 << 20)
            with mock.patch.object(state_dir, "Disk", return_value=disk):
                assert (await testbed.plug(station, pi)).well
            return disk.done

    with new_testbed() as testbed:
        return run(testbed, count(testbed))


def every_operation() -> list[Point]:
    return [(story, number, half) for story in STORIES for number in range(operations(story)) for half in (False, True)]


def attempt(kind: str, points: Sequence[Point]) -> Iterable[Verdict]:
    """`kind`: "kill", "full" for one operation, "full for long" for six plug-ins."""

    async def sweep(testbed: Testbed) -> list[Verdict]:
        async with station_of(testbed) as station:
            return await audited(testbed, station, [await attempt_one(testbed, station, point) for point in points])

    async def attempt_one(testbed: Testbed, station: Services, point: Point) -> Verdict:
        story, number, half = point
        pi = await told(story, testbed, station)
        kill, long = kind == "kill", kind == "full for long"
        pi.disk = Failing(number, long=long, kill=kill, halfway=half)
        first = None
        with mock.patch.object(state_dir, "Disk", return_value=pi.disk):
            for _ in range(6 if long else 1):
                first = await testbed.plug(station, pi)
                if kill or half:
                    pi.power_off()  # else it goes on by itself, with what it has in memory
        left = list(pi.state_dir.glob(".identity-*"))
        if len(left) > 2:
            return Verdict(point, Outcome.LOST, f"half-written identities pile up: {len(left)}")
        if not kill and first is not None and getattr(first.pi, "code", "disk.full") != "disk.full":
            return Verdict(point, Outcome.LOST, f"not told as a full disk: {first.told()}")
        pi.disk, pi.agent = Disk(), None if kill or half else pi.agent
        if pi.agent is not None:
            pi.agent._disk = pi.agent.store._disk = pi.disk  # space was made
        return await judged(testbed, station, pi, point, first if not kill else None)

    with new_testbed() as testbed:
        return run(testbed, sweep(testbed))


# --- power cuts ---


class Story:
    """One session's disk operations, and the registry at each state of the unit."""

    def __init__(self, testbed: Testbed, pi: Pi) -> None:
        self.testbed, self.pi = testbed, pi
        self.serial = pi.serial
        self.map = pi.nuc_map.read_bytes() if pi.nuc_map.exists() else None
        self.known = pi.identity() is not None
        self.registries: dict[str, Path] = {}
        self.recorder = Recorder(pi.directory, self._mark)

    def _mark(self) -> str:
        """Return the unit's state in the registry, and keep a copy of the registry."""
        with closing(sqlite3.connect(self.testbed.registry)) as database:
            found = database.execute("SELECT state FROM units WHERE serial = ?", (self.serial,)).fetchone()
        mark = found[0] if found else "none"
        if mark not in self.registries:
            self.registries[mark] = self.testbed.data_dir.parent / f"{self.serial}-{mark}.sqlite"
            snapshot(self.testbed.registry, self.registries[mark])
        return mark


async def recorded_story(story: str, testbed: Testbed, station: Services) -> Story:
    pi = await told(story, testbed, station)
    made = Story(testbed, pi)
    pi.disk = made.recorder
    with mock.patch.object(state_dir, "Disk", return_value=made.recorder):
        assert (await testbed.plug(station, pi)).well
    return made


@cache
def every_power_cut() -> tuple[Point, ...]:
    """Return the story, the elementary steps before the power cut, and the number of the state that follows."""

    async def count(testbed: Testbed) -> list[Point]:
        async with station_of(testbed) as station:
            points = []
            for story in STORIES:
                recorder = (await recorded_story(story, testbed, station)).recorder
                for prefix in range(len(recorder.steps) + 1):
                    points += [(story, prefix, number) for number, _ in enumerate(states(recorder, prefix))]
            return points

    with new_testbed() as testbed:
        return tuple(run(testbed, count(testbed)))


def attempt_power_cut(points: Sequence[Point]) -> Iterable[Verdict]:
    async def sweep(testbed: Testbed) -> list[Verdict]:
        async with station_of(testbed) as station:
            stories = {story: await recorded_story(story, testbed, station) for story in {point[0] for point in points}}
            return [await attempt_one(testbed, station, stories[point[0]], point) for point in points]

    async def attempt_one(testbed: Testbed, station: Services, story: Story, point: Point) -> Verdict:
        _, prefix, number = point
        tree = list(states(story.recorder, prefix))[number]
        testbed.units += 1
        directory = testbed.data_dir.parent / f"cut-{testbed.units}"
        materialise(tree, directory)
        pi = Pi(directory, story.serial, source=story.pi.source)
        mark = story.recorder.steps[prefix - 1].mark if prefix else min(story.registries, key=_AGE.index)
        copy = testbed.data_dir.parent / f"cut-{testbed.units}.sqlite"
        snapshot(story.registries[mark], copy)
        if why := unsound(story, pi):
            return Verdict(point, Outcome.LOST, why)
        async with station_with(station, testbed, copy) as then:
            verdict = await judged(testbed, then, pi, point)
            return (await audited(testbed, then, [verdict]))[0]

    with new_testbed() as testbed:
        return run(testbed, sweep(testbed))


_AGE = ("none", "issued", "provisioned")


def unsound(story: Story, pi: Pi) -> str:
    """Return why the directory holds no allowed state: the whole old identity, the whole new one, or none at first."""
    try:
        identity = pi.identity()
        if identity is None:
            return "the identity it had is gone" if story.known else ""
        key = pi.source.get().unseal(identity.secrets.nuc_map_key)
        sealed = open_map(identity.sealed_map.file, key)
        if sealed.hash.secret() != pi.source.get().unseal(identity.secrets.nuc_hash):
            return "the sealed map is not the hash's"
    except BirthmarkError as error:
        return f"the identity is damaged: {error}"
    return ""


SWEEPS = (
    Sweep("agent killed at a disk operation", every_operation, partial(attempt, "kill"), sample=1000),
    Sweep("Pi's disk full at one operation", every_operation, partial(attempt, "full"), sample=1000),
    Sweep("Pi's disk full from an operation on", every_operation, partial(attempt, "full for long"), sample=40),
    Sweep("power cut at a step of storing, by what survives", every_power_cut, attempt_power_cut, sample=150),
)
