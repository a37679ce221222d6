"""Counts of validations: no write for each, bounded memory, the daily limit, and the same steps for a FAIL."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest

from shared.errors import BirthmarkError
from station.config import StationConfig, ValidationConfig
from station.provisioning.offline import ProvisioningRequest
from station.registry import queries, validations
from station.registry.records import NEVER_VALIDATED, Validated
from station.validation import counts as module
from station.validation.verdict import Reason
from tests.harness.bare_station import BareStation, open_bare_station
from tests.unit.station.validation.test_certificates import legacy_bundle, signed
from tests.unit.station.validation.test_tokens import legacy, token

DAY_SECONDS = 86400


@asynccontextmanager
async def limited(folder: Path, daily_limit: int) -> AsyncIterator[BareStation]:
    config = StationConfig(validation=ValidationConfig(daily_limit=daily_limit))
    async with open_bare_station(folder, config=config) as bare_station:
        yield bare_station


async def provision(bare_station: BareStation, serial: str = "CAM-1") -> Any:
    return await bare_station.offline_provisioner.provision(ProvisioningRequest(serial), "test")


async def stored(bare_station: BareStation, serial: str = "CAM-1") -> Validated:
    async with bare_station.database.read() as connection:
        return (await queries.by_serial(connection, serial)).validated


async def test_every_pass_is_counted_whatever_was_validated_and_stored_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_bare_station(tmp_path) as bare_station:
        unit = await provision(bare_station)
        writes: list[object] = []
        write = bare_station.database.write

        def counting() -> object:
            writes.append(1)
            return write()

        monkeypatch.setattr(bare_station.database, "write", counting)
        made = token(bare_station, unit)
        for _ in range(5):
            await bare_station.tokens.validate(made)
        await bare_station.tokens.validate_legacy(legacy(made))
        await bare_station.certificates.validate(signed(unit))
        await bare_station.certificates.validate(legacy_bundle(unit))
        assert writes == []
        assert await stored(bare_station) == NEVER_VALIDATED
        await bare_station.counts.store()
        assert writes == [1]
        today = bare_station.counts.today()
        assert await stored(bare_station) == Validated(today, 8, 8)
        await bare_station.counts.store()
        assert await stored(bare_station) == Validated(today, 8, 8)


async def test_a_fail_counts_for_nobody_and_takes_the_same_steps(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_bare_station(tmp_path) as bare_station:
        unit = await provision(bare_station)
        foreign = next(which for which in bare_station.tables.ids() if which not in unit.tables)
        counted: list[int] = []
        count = bare_station.counts.count

        def counting(unit_id: int, validated: Validated) -> bool:
            counted.append(unit_id)
            return count(unit_id, validated)

        monkeypatch.setattr(bare_station.counts, "count", counting)
        good = token(bare_station, unit)
        for made in (
            good,
            token(bare_station, unit, foreign),
            msgspec.structs.replace(good, key_index=6),
            msgspec.structs.replace(good, table_id=2000),
        ):
            await bare_station.tokens.validate(made)
        await bare_station.tokens.validate_legacy(legacy(msgspec.structs.replace(good, key_index=6)))
        assert counted == [1, 0, 0, 0, 0]
        await bare_station.counts.store()
        assert (await stored(bare_station)).total == 1


async def test_without_a_limit_a_unit_passes_as_often_as_it_likes(tmp_path: Path) -> None:
    async with open_bare_station(tmp_path) as bare_station:
        assert bare_station.config.validation == ValidationConfig(daily_warning=8000, daily_limit=0)
        counts = bare_station.counts
        assert all(counts.count(1, Validated(counts.today(), 10**8, 10**8)) for _ in range(20_000))


async def test_a_limit_counts_what_is_stored_and_what_waits_and_ends_with_the_day(tmp_path: Path) -> None:
    async with limited(tmp_path, 4) as bare_station:
        unit, other = await provision(bare_station), await provision(bare_station, "CAM-2")
        made, of_other = token(bare_station, unit), token(bare_station, other)

        async def reasons(times: int) -> list[Reason]:
            return [(await bare_station.tokens.validate(made)).reason for _ in range(times)]

        assert await reasons(3) == [Reason.VALID] * 3
        await bare_station.counts.store()
        assert await reasons(3) == [Reason.VALID, Reason.OVER_LIMIT, Reason.OVER_LIMIT]
        assert (await bare_station.certificates.validate(signed(unit))).reason is Reason.OVER_LIMIT
        assert (await bare_station.tokens.validate(made)).message == "FAIL"
        assert (await bare_station.tokens.validate(of_other)).reason is Reason.VALID
        await bare_station.counts.store()
        assert await reasons(1) == [Reason.OVER_LIMIT]
        bare_station.clock.now += DAY_SECONDS
        assert await reasons(1) == [Reason.VALID]


async def test_memory_is_bounded_and_what_has_no_room_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "WAITING_UNITS", 10)
    async with open_bare_station(tmp_path) as bare_station:
        counts = bare_station.counts
        for unit_id in range(1, 5):
            counts.count(unit_id, NEVER_VALIDATED)
        assert not counts.full.is_set()
        for unit_id in range(5, 31):
            assert counts.count(unit_id, NEVER_VALIDATED)
        assert counts.full.is_set()
        assert len(counts._waiting) == 10
        assert counts.uncounted == 20
        counts.count(1, NEVER_VALIDATED)
        assert counts.waiting(1) == 2


async def test_counts_that_cannot_be_stored_wait_and_are_stored_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_BATCH", 2)
    async with open_bare_station(tmp_path) as bare_station:
        for number in range(1, 6):
            made = token(bare_station, await provision(bare_station, f"CAM-{number}"))
            for _ in range(number):
                await bare_station.tokens.validate(made)
        add, left = validations.add, 1

        async def failing(*arguments: Any) -> None:
            nonlocal left
            if left == 0:
                raise BirthmarkError("registry.unavailable")
            left -= 1
            await add(*arguments)

        monkeypatch.setattr(validations, "add", failing)
        with pytest.raises(BirthmarkError):
            await bare_station.counts.store()
        await bare_station.tokens.validate(made)
        left = 10
        await bare_station.counts.store()
        assert [(await stored(bare_station, f"CAM-{number}")).total for number in range(1, 6)] == [1, 2, 3, 4, 6]
