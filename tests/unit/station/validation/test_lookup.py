"""Lookups by blind index: each caller gets its own result, many share one query, and failures stay separate."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from shared.errors import BirthmarkError
from shared.types import NucHash
from station.provisioning.offline import ProvisionedUnit, ProvisioningRequest
from station.registry import revocation
from station.registry.database import Database
from station.registry.records import NEVER_VALIDATED, Standing, UnitState
from station.registry.revocation import RevocationCode
from station.validation.lookup import Lookup
from tests.harness.bare_station import NOW, BareStation, open_bare_station


class Counted(Lookup):
    """Counts the queries, and fails when it is told to."""

    def __init__(self, database: Database) -> None:
        super().__init__(database)
        self.queries = 0
        self.fails = False

    async def _query(self, wanted: set[bytes]) -> dict[bytes, Standing]:
        self.queries += 1
        if self.fails:
            raise BirthmarkError("registry.unavailable")
        return await super()._query(wanted)


@dataclass
class Registered:
    bare_station: BareStation
    lookup: Counted

    async def add(self, serial: str = "CAM-1") -> tuple[bytes, ProvisionedUnit]:
        """A provisioned unit and its blind index."""
        made = await self.bare_station.offline_provisioner.provision(ProvisioningRequest(serial), "test")
        assert made.nuc_hash is not None
        return self.bare_station.nuc_blind_index.of(made.nuc_hash), made


@pytest.fixture
async def registered(tmp_path: Path) -> AsyncIterator[Registered]:
    async with open_bare_station(tmp_path) as bare_station:
        yield Registered(bare_station, Counted(bare_station.database))


def standing(unit: ProvisionedUnit, number: int = 1) -> Standing:
    """How the unit that was provisioned as the `number`-th one stands."""
    return Standing(number, UnitState.PROVISIONED, frozenset(unit.tables), NEVER_VALIDATED)


async def test_a_unit_is_found_with_its_state_and_its_tables(registered: Registered) -> None:
    index, unit = await registered.add()
    assert await registered.lookup.find(index) == standing(unit)


async def test_an_index_that_nobody_has_is_not_found(registered: Registered) -> None:
    await registered.add()
    stranger = registered.bare_station.nuc_blind_index.of(NucHash(b"n" * 32))
    assert await registered.lookup.find(stranger) is None


async def test_a_lookup_sees_everything_committed_before_it(registered: Registered) -> None:
    index, _ = await registered.add()
    async with registered.bare_station.database.write() as connection:
        await revocation.revoke(connection, "CAM-1", RevocationCode.HOLD, "stolen", NOW)
    found = await registered.lookup.find(index)
    assert found is not None
    assert found.state is UnitState.REVOKED
    async with registered.bare_station.database.write() as connection:
        await revocation.release(connection, "CAM-1", "scrapped", NOW)
    assert await registered.lookup.find(index) is None


async def test_a_thousand_at_once_are_each_answered_rightly_in_a_few_queries(registered: Registered) -> None:
    known = [await registered.add(f"CAM-{number}") for number in range(10)]
    asked = [one for _ in range(50) for index, _ in known for one in (index, index[::-1])]
    found = await asyncio.gather(*(registered.lookup.find(index) for index in asked))
    each = [one for number, (_, unit) in enumerate(known, 1) for one in (standing(unit, number), None)]
    expected = each * 50
    assert found == expected
    assert registered.lookup.queries <= 10


async def test_an_asker_who_gives_up_leaves_the_others_their_answers(registered: Registered) -> None:
    index, unit = await registered.add()
    first, second = (asyncio.create_task(registered.lookup.find(index)) for _ in range(2))
    await asyncio.sleep(0)
    first.cancel()
    assert await second == standing(unit)
    assert first.cancelled()


async def test_a_registry_that_cannot_be_asked_is_everybodys_error_and_the_next_answer_is_right(
    registered: Registered,
) -> None:
    index, _ = await registered.add()
    registered.lookup.fails = True
    answers = await asyncio.gather(*(registered.lookup.find(index) for _ in range(3)), return_exceptions=True)
    assert [answer.code for answer in answers if isinstance(answer, BirthmarkError)] == ["registry.unavailable"] * 3
    registered.lookup.fails = False
    assert await registered.lookup.find(index) is not None
