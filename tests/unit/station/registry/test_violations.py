"""Two stations that saw the same place free: the database keeps one, and the other hears whose place it is."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from shared.errors import BirthmarkError
from shared.errors.catalogue import CATALOGUE
from shared.types import board_serial
from station.registry import reservations, tokens
from station.registry.database import Database
from station.registry.location import registry_url
from station.registry.records import Applicant
from station.registry.tokens import Scope
from station.registry.violations import TAKEN
from tests.harness.applicants import FIRST, SECOND, TABLES
from tests.harness.bare_station import NOW, open_bare_station


@pytest.mark.parametrize(
    ("applicant", "number", "code"),
    [
        (replace(SECOND, serial=FIRST.serial), 2, "registry.serial-taken"),
        (replace(SECOND, serial=board_serial(FIRST.serial.upper())), 2, "registry.serial-taken"),
        (replace(SECOND, ek_fingerprint=FIRST.ek_fingerprint), 2, "registry.ek-taken"),
        (replace(SECOND, device_fingerprint=FIRST.device_fingerprint), 2, "registry.device-key-taken"),
        (replace(SECOND, nuc_blind_index=FIRST.nuc_blind_index), 2, "registry.duplicate-nuc"),
        (SECOND, 1, "registry.certificate-taken"),
    ],
)
async def test_a_taken_place_is_named(tmp_path: Path, applicant: Applicant, number: int, code: str) -> None:
    async with open_bare_station(tmp_path) as station:
        other = Database(registry_url(tmp_path), "bench 7")
        async with station.database.write() as connection:
            await reservations.reserve_unit(connection, FIRST, 1, TABLES, NOW)
        with pytest.raises(BirthmarkError) as caught:
            async with other.write() as connection:
                await reservations.reserve_unit(connection, applicant, number, TABLES, NOW)
        await other.close()
    assert caught.value.code == code
    assert code in TAKEN


async def test_a_second_request_for_a_unit_is_named(tmp_path: Path) -> None:
    async with open_bare_station(tmp_path) as station:
        async with station.database.write() as connection:
            unit_id = (await reservations.reserve_unit(connection, FIRST, 1, TABLES, NOW)).unit_id
        with pytest.raises(BirthmarkError) as caught:
            async with station.database.write() as connection:
                await reservations.reserve_certificate(connection, unit_id, FIRST, 2, NOW)
    assert caught.value.code == "registry.certificate-requested"


async def test_what_no_caller_can_mean_is_inconsistent(tmp_path: Path) -> None:
    async with open_bare_station(tmp_path, tables=3) as station:
        with pytest.raises(BirthmarkError) as caught:
            async with station.database.write() as connection:
                await reservations.reserve_unit(connection, FIRST, 1, TABLES, NOW)  # there is no table 7
    assert caught.value.code == "registry.inconsistent"


async def test_a_tokens_name_is_taken_once(tmp_path: Path) -> None:
    async with open_bare_station(tmp_path) as station, station.database.write() as connection:
        await tokens.create(connection, "a", frozenset({Scope.READ}), NOW)
        with pytest.raises(BirthmarkError) as caught:
            await tokens.create(connection, "a", frozenset({Scope.READ}), NOW)
    assert caught.value.code == "access.token-exists"


def test_every_taken_place_is_in_the_catalogue() -> None:
    assert CATALOGUE.keys() >= TAKEN
