"""A reservation is recorded once, replaced, given up or expired; whoever comes too late with a certificate hears so."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest
import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from shared.errors import BirthmarkError
from station.registry import audit, reservations, revocation, units
from station.registry.database import Connection
from station.registry.records import CertificateState, Reservation, Unit, UnitState
from station.registry.reservations import LIFETIME_SECONDS
from station.registry.revocation import RevocationCode
from station.registry.schema import assignments, certificates
from tests.harness.applicants import FIRST, SECOND, TABLES, signed
from tests.harness.bare_station import NOW, open_bare_station


@pytest.fixture
async def connection(tmp_path: Path) -> AsyncIterator[Connection]:
    async with open_bare_station(tmp_path) as station, station.database.write() as connection:
        yield connection


async def reserve(connection: Connection, *replaced: int, number: int = 1, now: int = NOW) -> Reservation:
    return await reservations.reserve_unit(connection, FIRST, number, TABLES, now, replaced)


async def told(connection: Connection) -> list[tuple[str, object]]:
    """Event and reason of each audit row."""
    rows = await audit.read(connection)
    return [(row.event, msgspec.json.decode(row.detail).get("reason", "")) for row in rows]


async def count(connection: Connection, table: sa.Table) -> int:
    return (await connection.execute(sa.select(sa.func.count()).select_from(table))).scalar_one()


async def test_a_reservation_takes_the_place_and_nothing_is_signed(connection: Connection) -> None:
    reservation = await reserve(connection)
    unit = await units.by_id(connection, reservation.unit_id)
    assert (unit.state, unit.reserved_at, unit.issued_at, unit.certificate) == (UnitState.RESERVED, NOW, None, None)
    assert (reservation.serial, reservation.tables, unit.tables) == (1, TABLES, TABLES)
    assert await reservations.of_unit(connection, unit) == reservation
    assert await told(connection) == [("reserved", "")]


async def test_a_recorded_certificate_is_the_units_with_the_facts_of_whoever_came_with_it(
    connection: Connection,
) -> None:
    reservation = await reserve(connection)
    later = replace(FIRST, station="bench 7", port="/dev/ttyACM9", ek_trust="unverified")
    unit = await reservations.record(connection, reservation, signed(1), later, NOW + 3)
    assert (unit.state, unit.issued_at, unit.station, unit.ek_trust) == (
        UnitState.ISSUED,
        NOW + 3,
        "bench 7",
        "unverified",
    )
    assert unit.certificate is not None
    assert (unit.certificate.der, unit.certificate.serial, unit.certificate.state) == (
        b"a certificate",
        "1",
        CertificateState.ISSUED,
    )
    assert unit.certificate.key_fingerprint == FIRST.device_fingerprint
    assert await reservations.of_unit(connection, unit) is None


async def test_of_two_certificates_for_one_reservation_the_first_is_recorded_and_both_get_it(
    connection: Connection,
) -> None:
    reservation = await reserve(connection)
    first = await reservations.record(connection, reservation, signed(1, b"one"), FIRST, NOW)
    second = await reservations.record(connection, reservation, signed(1, b"other"), FIRST, NOW + 1)
    assert second == first
    assert second.certificate is not None
    assert second.certificate.der == b"one"
    assert [event for event, _ in await told(connection)] == ["reserved", "issued"]


async def test_an_issuer_may_choose_another_serial_number(connection: Connection) -> None:
    unit = await reservations.record(connection, await reserve(connection), signed(99), FIRST, NOW)
    assert units.certificate_serial(unit) == "63"


async def test_who_comes_with_a_certificate_for_a_reservation_that_was_replaced_hears_so(
    connection: Connection,
) -> None:
    old = await reserve(connection)
    await reserve(connection, old.unit_id, number=2)
    with pytest.raises(BirthmarkError) as caught:
        await reservations.record(connection, old, signed(1), FIRST, NOW)
    assert caught.value.code == "registry.reservation-lost"
    assert await told(connection) == [("reserved", ""), ("unreserved", "replaced"), ("reserved", "")]
    assert (await count(connection, certificates), await count(connection, assignments)) == (1, 3)


@pytest.mark.parametrize(
    ("code", "change"),
    [
        ("registry.unit-revoked", lambda c: revocation.revoke(c, FIRST.serial, RevocationCode.HOLD, "lost", NOW)),
        ("registry.released-meanwhile", lambda c: revocation.release(c, FIRST.serial, "why", NOW)),
    ],
)
async def test_a_unit_revoked_or_released_while_it_is_signed_gets_nothing(
    connection: Connection, code: str, change: Callable[[Connection], Awaitable[Unit]]
) -> None:
    reservation = await reserve(connection)
    await change(connection)
    with pytest.raises(BirthmarkError) as caught:
        await reservations.record(connection, reservation, signed(1), FIRST, NOW)
    assert caught.value.code == code
    assert (await units.by_id(connection, reservation.unit_id)).certificate is None


async def test_a_unit_put_on_hold_before_it_was_signed_may_be_reserved_for_again(connection: Connection) -> None:
    reservation = await reserve(connection)
    await revocation.revoke(connection, FIRST.serial, RevocationCode.HOLD, "lost", NOW)
    unit = await revocation.reinstate(connection, FIRST.serial, "found", NOW)
    assert unit.state is UnitState.RESERVED
    assert await reservations.of_unit(connection, unit) is None
    assert await reservations.expire(connection, NOW) == 0
    again = await reservations.reserve_certificate(connection, reservation.unit_id, FIRST, 2, NOW)
    assert (await reservations.record(connection, again, signed(2), FIRST, NOW)).state is UnitState.ISSUED


async def test_a_unit_put_on_hold_before_it_was_signed_expires_once_it_is_reinstated(connection: Connection) -> None:
    await reserve(connection)
    await revocation.revoke(connection, FIRST.serial, RevocationCode.HOLD, "lost", NOW)
    assert await reservations.expire(connection, NOW + LIFETIME_SECONDS) == 0
    await revocation.reinstate(connection, FIRST.serial, "found", NOW)
    assert await reservations.expire(connection, NOW + LIFETIME_SECONDS) == 1
    assert await units.select(connection, sa.true()) == []


async def test_a_reservation_given_up_leaves_only_audit_rows(connection: Connection) -> None:
    await reservations.give_up(connection, await reserve(connection), NOW)
    assert await told(connection) == [("reserved", ""), ("unreserved", "given up")]
    assert await count(connection, certificates) == await count(connection, assignments) == 0
    assert await units.select(connection, sa.true()) == []


async def test_what_was_recorded_cannot_be_given_up_replaced_or_expire(connection: Connection) -> None:
    reservation = await reserve(connection)
    unit = await reservations.record(connection, reservation, signed(1), FIRST, NOW)
    await reservations.give_up(connection, reservation, NOW)
    assert await reservations.expire(connection, NOW + LIFETIME_SECONDS) == 0
    with pytest.raises(
        IntegrityError, match="UNIQUE constraint failed: "
    ):  # `Database` names it once the transaction ends
        await reserve(connection, unit.id, number=2)


async def test_reservations_expire_and_the_log_tells_it(connection: Connection) -> None:
    await reserve(connection, now=NOW)
    await reservations.reserve_unit(connection, SECOND, 2, TABLES, NOW + 1)
    assert await reservations.expire(connection, NOW + LIFETIME_SECONDS - 1) == 0
    assert await reservations.expire(connection, NOW + LIFETIME_SECONDS) == 1
    assert [unit.serial for unit in await units.select(connection, sa.true())] == [SECOND.serial]
    assert (await told(connection))[-1] == ("unreserved", "expired")


async def test_another_certificate_of_a_unit_expires_without_the_unit(connection: Connection) -> None:
    unit = await reservations.record(connection, await reserve(connection), signed(1), FIRST, NOW)
    await reservations.reserve_certificate(connection, unit.id, FIRST, 2, NOW)
    assert await reservations.expire(connection, NOW + LIFETIME_SECONDS) == 1
    assert await units.by_id(connection, unit.id) == unit
    assert (await told(connection))[-1] == ("unreserved", "expired")


async def test_a_unit_has_one_request_at_a_time(connection: Connection) -> None:
    unit = await reservations.record(connection, await reserve(connection), signed(1), FIRST, NOW)
    await reservations.reserve_certificate(connection, unit.id, FIRST, 2, NOW)
    with pytest.raises(IntegrityError):  # `Database` names it once the transaction ends
        await reservations.reserve_certificate(connection, unit.id, FIRST, 3, NOW)


async def test_an_imported_unit_is_provisioned_with_the_certificate_that_it_holds(connection: Connection) -> None:
    await reservations.take_over(connection, FIRST, signed(7), TABLES, NOW - 1000)
    [unit] = await units.select(connection, sa.true())
    assert (unit.state, unit.provisioned_at, unit.tables) == (UnitState.PROVISIONED, NOW - 1000, TABLES)
    assert unit.certificate is not None
    assert (unit.certificate.serial, unit.certificate.state) == ("7", CertificateState.ACTIVE)
    assert await told(connection) == [("imported", "")]
