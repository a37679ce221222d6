"""A unit's receipt, and its return: each is recorded once, and not for a unit that is revoked or released."""

from __future__ import annotations

from pathlib import Path

import pytest
import sqlalchemy as sa

from shared.errors import BirthmarkError
from station.registry import audit, certificates, reservations, revocation, units
from station.registry.database import Connection
from station.registry.records import Applicant, CertificateState, Unit, UnitState
from station.registry.revocation import RevocationCode
from tests.harness.applicants import FIRST, SECOND, TABLES, signed
from tests.harness.bare_station import NOW, open_bare_station


async def issue(connection: Connection, applicant: Applicant, number: int) -> Unit:
    reservation = await reservations.reserve_unit(connection, applicant, number, TABLES, NOW)
    return await reservations.record(connection, reservation, signed(number, bytes([number])), applicant, NOW)


async def events(connection: Connection) -> list[str]:
    return [row.event for row in await audit.read(connection)]


async def test_a_receipt_makes_a_unit_provisioned_and_its_certificate_active_once(tmp_path: Path) -> None:
    async with open_bare_station(tmp_path) as station, station.database.write() as connection:
        unit = await issue(connection, FIRST, 1)
        confirmed = await units.confirm(connection, unit.id, NOW + 1, 1234)
        again = await units.confirm(connection, unit.id, NOW + 2, 9999)
        assert await events(connection) == ["reserved", "issued", "provisioned"]
    assert (confirmed.state, confirmed.provisioned_at, confirmed.duration_ms) == (UnitState.PROVISIONED, NOW + 1, 1234)
    assert confirmed.certificate is not None
    assert (confirmed.certificate.state, confirmed.certificate.activated_at) == (CertificateState.ACTIVE, NOW + 1)
    assert again == confirmed


async def test_a_receipt_for_another_certificate_supersedes_the_one_before(tmp_path: Path) -> None:
    async with open_bare_station(tmp_path) as station, station.database.write() as connection:
        unit = await units.confirm(connection, (await issue(connection, FIRST, 1)).id, NOW, 800)
        reservation = await reservations.reserve_certificate(connection, unit.id, FIRST, 2, NOW + 5)
        renewed = await reservations.record(connection, reservation, signed(2, b"new"), FIRST, NOW + 5)
        assert renewed.state is UnitState.PROVISIONED
        confirmed = await units.confirm(connection, unit.id, NOW + 6, 900)
        assert await events(connection) == ["reserved", "issued", "provisioned", "reserved", "issued", "renewed"]
        states = [one.state for one in await certificates.of_unit(connection, unit.id)]
    assert states == [CertificateState.SUPERSEDED, CertificateState.ACTIVE]
    assert (confirmed.provisioned_at, confirmed.duration_ms, confirmed.tables) == (NOW, 800, TABLES)
    assert units.certificate_serial(confirmed) == "2"


async def test_a_unit_revoked_or_released_meanwhile_is_neither_confirmed_nor_resumed(tmp_path: Path) -> None:
    async with open_bare_station(tmp_path) as station, station.database.write() as connection:
        one, other = await issue(connection, FIRST, 1), await issue(connection, SECOND, 2)
        await revocation.release(connection, FIRST.serial, "a new TPM", NOW + 5)
        await revocation.revoke(connection, SECOND.serial, RevocationCode.HOLD, "lost", NOW)
        before = await events(connection)
        for unit, code in ((one, "registry.released-meanwhile"), (other, "registry.unit-revoked")):
            for change in (units.confirm, units.resume):
                with pytest.raises(BirthmarkError) as caught:
                    await change(connection, unit.id, NOW)
                assert caught.value.code == code
        assert await events(connection) == before


async def test_units_are_read_the_latest_first_with_tables_and_certificate(tmp_path: Path) -> None:
    async with open_bare_station(tmp_path) as station, station.database.write() as connection:
        made = [await issue(connection, FIRST, 1), await issue(connection, SECOND, 2)]
        await units.confirm(connection, made[0].id, NOW)
        found = await units.select(connection, sa.true())
        assert [(unit.id, unit.tables, units.certificate_serial(unit)) for unit in found] == [
            (made[1].id, TABLES, "2"),
            (made[0].id, TABLES, "1"),
        ]
        assert [unit.id for unit in await units.select(connection, sa.true(), 1)] == [made[1].id]
        assert (await units.active(connection, FIRST.serial)).id == made[0].id
        counted = await units.count_by_state(connection)
    assert {state: count for state, count in counted.items() if count} == {
        UnitState.ISSUED: 1,
        UnitState.PROVISIONED: 1,
    }
    assert set(counted) == set(UnitState)
