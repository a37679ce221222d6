"""Faults between reserving a certificate and recording it: the issuer is away, the station dies, another is faster."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

from cryptography import x509

from shared.errors import BirthmarkError
from station.authority.issuer import CertificateRequest, Issuer
from station.registry.database import Database
from station.registry.location import registry_url
from station.services import Services
from tests.fault_injection.sweep import Outcome, Point, Sweep, Verdict, audited, judged
from tests.fault_injection.testbed import Testbed, new_testbed, reader, run, station_of
from tests.fault_injection.unit import Pi
from tests.harness.bare_station import with_other

Step = Callable[[], Coroutine[Any, Any, None]]


class FaultyIssuer:
    """The station's own issuer, which takes a step before it signs and one after, as a slow one would give time for."""

    def __init__(self, honest: Issuer, before: Step, after: Step) -> None:
        self._honest = honest
        self._before = before
        self._after = after

    async def issue(self, request: CertificateRequest) -> x509.Certificate:
        await self._before()
        certificate = await self._honest.issue(request)
        await self._after()
        return certificate

    def __getattr__(self, name: str) -> Any:
        return getattr(self._honest, name)


async def nothing() -> None:
    return None


@asynccontextmanager
async def another_station(station: Services, testbed: Testbed) -> AsyncIterator[Services]:
    """Open a second station on the same registry, with a database connection of its own."""
    database = Database(registry_url(testbed.data_dir), "another")
    try:
        yield with_other(station, database=database)
    finally:
        await database.close()


def _requested(testbed: Testbed, pi: Pi) -> list[int]:
    """Return the serial numbers that are reserved for the unit and not yet signed."""
    with reader(testbed.registry) as registry:
        query = "SELECT c.serial FROM certificates c JOIN units u ON u.id = unit_id WHERE u.serial = ? AND der IS NULL"
        return [int(row[0], 16) for row in registry.execute(query, (pi.serial,))]


def every_point() -> list[Point]:
    faults = ("away", "dies before it signs", "dies after it has signed", "another station is faster")
    return [(fault, elsewhere) for fault in faults for elsewhere in (False, True)]


def attempt(points: Sequence[Point]) -> Iterable[Verdict]:
    """The fault strikes once; the unit is then plugged in at the same station, or at another on the same registry."""

    async def sweep(testbed: Testbed) -> list[Verdict]:
        return [await _attempt_one(testbed, point) for point in points]

    with new_testbed() as testbed:
        return run(testbed, sweep(testbed))


async def _attempt_one(testbed: Testbed, point: Point) -> Verdict:
    fault, elsewhere = point
    pi = testbed.new_pi()
    twin = Pi(testbed.data_dir.parent / f"{pi.serial}-twin", pi.serial, source=pi.source)
    shutil.copytree(pi.directory, twin.directory)
    async with station_of(testbed) as here, another_station(here, testbed) as there:

        async def be_away() -> None:
            raise BirthmarkError("registry.unavailable", "the test's issuer is away")

        async def die() -> None:
            raise OSError("killed")

        async def be_overtaken() -> None:
            ended = await testbed.plug(there if elsewhere else here, twin)
            assert ended.well, ended.told()

        before, after = {
            "away": (be_away, nothing),
            "dies before it signs": (die, nothing),
            "dies after it has signed": (nothing, die),
            "another station is faster": (be_overtaken, nothing),
        }[fault]
        issuer = FaultyIssuer(here.authority.issuer, before, after)
        faulty = with_other(here, authority=replace(here.authority, issuer=issuer))
        first = await testbed.plug(faulty, pi)
        requested = _requested(testbed, pi)
        if first.well is not (fault == "another station is faster"):
            return Verdict(point, Outcome.LOST, f"not as the fault would have it: {first.told()}")
        if not first.well and len(requested) != 1:
            return Verdict(point, Outcome.LOST, f"{len(requested)} certificates are requested")
        if len(pi.let_out | twin.let_out) > 1:
            return Verdict(point, Outcome.TWICE, "each session has given out a certificate of its own")
        verdict = await judged(testbed, there if elsewhere else here, pi, point, first)
        if verdict.outcome is Outcome.RECOVERED and not first.well:
            identity = pi.identity()
            assert identity is not None
            if identity.chain[0].serial_number not in requested:
                return Verdict(point, Outcome.LOST, "the reserved serial number was not used")
        return (await audited(testbed, here, [verdict]))[0]


SWEEPS = (Sweep("issuer away, station dead or overtaken while it signs", every_point, attempt, sample=1000),)
