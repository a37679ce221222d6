"""Counts of validations: added up by day, and in all; nothing else is kept."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from station.provisioning.offline import ProvisioningRequest
from station.registry import queries, validations
from station.registry.records import NEVER_VALIDATED, Validated
from station.registry.validations import day_of
from tests.harness.bare_station import NOW, BareStation, open_bare_station

DAY = day_of(NOW)


@pytest.fixture
async def station(tmp_path: Path) -> AsyncIterator[BareStation]:
    """A station with the units 1, 2 and 3, whose serial numbers are CAM-1, CAM-2 and CAM-3."""
    async with open_bare_station(tmp_path) as bare_station:
        for number in (1, 2, 3):
            await bare_station.offline_provisioner.provision(ProvisioningRequest(f"CAM-{number}"), "test")
        yield bare_station


async def add(station: BareStation, numbers: dict[tuple[int, int], int]) -> None:
    async with station.database.write() as connection:
        await validations.add(connection, numbers)


async def of_unit(station: BareStation, number: int) -> Validated:
    async with station.database.read() as connection:
        return (await queries.by_serial(connection, f"CAM-{number}")).validated


async def test_a_day_is_counted_from_its_first_validation_and_the_total_goes_on(station: BareStation) -> None:
    assert await of_unit(station, 1) == NEVER_VALIDATED
    for numbers in ({(DAY, 1): 3}, {(DAY, 1): 2, (DAY, 2): 1}, {(DAY, 1): 1, (DAY + 1, 1): 10}):
        await add(station, numbers)
    assert await of_unit(station, 1) == Validated(DAY + 1, 10, 16)
    assert await of_unit(station, 2) == Validated(DAY, 1, 1)
    assert await of_unit(station, 3) == NEVER_VALIDATED


async def test_counts_that_come_late_from_the_day_before_are_only_in_the_total(station: BareStation) -> None:
    await add(station, {(DAY + 1, 1): 10})
    await add(station, {(DAY, 1): 5})
    assert await of_unit(station, 1) == Validated(DAY + 1, 10, 15)


async def test_units_that_were_validated_often_are_found_the_most_often_first(station: BareStation) -> None:
    await add(station, {(DAY, 1): 8000, (DAY, 2): 9000, (DAY, 3): 7999})
    async with station.database.read() as connection:
        assert await validations.count_often(connection, DAY, 8000) == 2
        assert await validations.often(connection, DAY, 8000, 3) == ["CAM-2", "CAM-1"]
        assert await validations.often(connection, DAY, 8000, 1) == ["CAM-2"]
        assert await validations.count_often(connection, DAY + 1, 1) == 0


async def test_a_unit_has_one_row_however_often_and_however_long_it_is_validated(station: BareStation) -> None:
    for day in range(400):
        await add(station, {(DAY + day, 1): 7})
    async with station.database.read() as connection:
        rows = (await connection.execute(sa.text("SELECT * FROM validations"))).all()
    assert rows == [(1, DAY + 399, 7, 2800)]


async def test_a_validation_learns_the_counts_of_its_unit(station: BareStation) -> None:
    await add(station, {(DAY, 2): 4})
    async with station.database.read() as connection:
        indices = (await connection.execute(sa.text("SELECT nuc_blind_index FROM units"))).scalars().all()
        found = await queries.standings(connection, [*indices, b"n" * 32])
    assert sorted((one.unit_id, one.validated) for one in found.values()) == [
        (1, NEVER_VALIDATED),
        (2, Validated(DAY, 4, 4)),
        (3, NEVER_VALIDATED),
    ]
