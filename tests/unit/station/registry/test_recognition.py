"""An applicant is new, known or refused; its reservation holds its place, and gives way to its own other key."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path

import pytest

from shared.errors import BirthmarkError
from shared.types import board_serial
from station.registry import queries, reservations, revocation, units
from station.registry.database import Connection
from station.registry.recognition import Recognition, recognise
from station.registry.records import Applicant, KeyHolder, Reservation, Unit
from station.registry.reservations import LIFETIME_SECONDS
from station.registry.revocation import RevocationCode
from tests.harness.applicants import FIRST, SECOND, TABLES, signed
from tests.harness.bare_station import NOW, open_bare_station

NOBODY = Recognition(None, None, None, ())
WITHOUT_TPM = replace(FIRST, ek_fingerprint=None, key_holder=KeyHolder.SOFTWARE)


@pytest.fixture
async def connection(tmp_path: Path) -> AsyncIterator[Connection]:
    async with open_bare_station(tmp_path) as station, station.database.write() as connection:
        yield connection


async def reserve(connection: Connection, applicant: Applicant, number: int = 1) -> Reservation:
    return await reservations.reserve_unit(connection, applicant, number, TABLES, NOW)


async def issue(connection: Connection, applicant: Applicant, number: int = 1, not_after: int = NOW + 1000) -> Unit:
    reservation = await reserve(connection, applicant, number)
    certificate = signed(number, bytes([number]), not_after)
    return await reservations.record(connection, reservation, certificate, applicant, NOW)


async def refused(connection: Connection, applicant: Applicant) -> str:
    with pytest.raises(BirthmarkError) as caught:
        await recognise(connection, applicant, NOW)
    return caught.value.code


PARTIAL = [
    (replace(FIRST, ek_fingerprint=b"tpm 9"), "registry.serial-taken"),
    (WITHOUT_TPM, "registry.serial-taken"),
    (replace(FIRST, ek_fingerprint=b"tpm 9", serial=board_serial("10000000ABCDEF01")), "registry.serial-taken"),
    (replace(FIRST, serial=board_serial("10000000abcdef09")), "registry.ek-taken"),
    (replace(SECOND, device_fingerprint=FIRST.device_fingerprint), "registry.device-key-taken"),
    (replace(SECOND, nuc_blind_index=FIRST.nuc_blind_index), "registry.duplicate-nuc"),
]
OTHERWISE = [
    (replace(FIRST, device_fingerprint=b"device 9"), "registry.device-key-changed"),
    (replace(FIRST, nuc_blind_index=b"sensor 9"), "registry.nuc-changed"),
]


async def test_an_applicant_that_shares_nothing_with_any_unit_is_new(connection: Connection) -> None:
    await issue(connection, FIRST)
    assert await recognise(connection, SECOND, NOW) == NOBODY


async def test_an_applicant_with_everything_of_a_unit_is_that_unit(connection: Connection) -> None:
    unit = await issue(connection, FIRST)
    found = await recognise(connection, replace(FIRST, port="/dev/ttyACM7"), NOW)
    assert found == Recognition(unit, unit.certificate, None, ())


async def test_a_unit_is_the_same_in_capitals_and_keeps_the_spelling_it_came_with(connection: Connection) -> None:
    unit = await issue(connection, FIRST)
    capitals = replace(FIRST, serial=board_serial(FIRST.serial.upper()))
    assert await recognise(connection, capitals, NOW) == Recognition(unit, unit.certificate, None, ())
    for spelling in (capitals.serial, FIRST.serial, "10000000AbCdEf01"):
        assert await units.active(connection, spelling) == unit
        assert await queries.by_serial(connection, spelling) == unit
    assert unit.serial == FIRST.serial
    revoked = await revocation.revoke(connection, capitals.serial, RevocationCode.HOLD, "lost", NOW)
    assert revoked.id == unit.id
    assert await refused(connection, capitals) == await refused(connection, FIRST) == "registry.unit-revoked"


async def test_a_letter_that_only_unicode_takes_for_another_is_another(connection: Connection) -> None:
    await issue(connection, replace(FIRST, serial=board_serial("kamera-1")))
    with pytest.raises(BirthmarkError) as caught:
        await units.active(connection, "\N{KELVIN SIGN}amera-1")
    assert caught.value.code == "registry.unknown-unit"


@pytest.mark.attack("a revoked unit's serial number comes back in capitals, with another TPM, key and sensor")
async def test_a_revoked_serial_number_does_not_come_back_in_capitals(
    connection: Connection, got: Callable[[str], None]
) -> None:
    await issue(connection, FIRST)
    await revocation.revoke(connection, FIRST.serial, RevocationCode.KEY_COMPROMISE, "stolen", NOW)
    code = await refused(connection, replace(SECOND, serial=board_serial(FIRST.serial.upper())))
    assert code == "registry.serial-taken"
    got(f"nothing: refused [{code}]")


@pytest.mark.parametrize(("applicant", "code"), [*PARTIAL, *OTHERWISE])
async def test_an_applicant_that_matches_a_unit_only_in_part_is_refused(
    connection: Connection, applicant: Applicant, code: str
) -> None:
    await issue(connection, FIRST)
    assert await refused(connection, applicant) == code


async def test_a_unit_shows_its_own_certificate_and_not_anothers(connection: Connection) -> None:
    one, other = await issue(connection, FIRST, 1), await issue(connection, SECOND, 2)
    assert one.certificate is not None
    assert other.certificate is not None
    with_own = replace(FIRST, certificate_sha256=one.certificate.sha256)
    # By SHA-256 of the device key in the product; the registry only compares.
    assert (await recognise(connection, with_own, NOW)).unit == one
    for shown in (other.certificate.sha256, b"of nobody"):
        assert await refused(connection, replace(FIRST, certificate_sha256=shown)) == "identity.unknown-certificate"


async def test_a_revoked_unit_is_refused_and_a_released_one_unknown(connection: Connection) -> None:
    await issue(connection, FIRST, 1)
    await issue(connection, SECOND, 2)
    await revocation.revoke(connection, FIRST.serial, RevocationCode.HOLD, "lost", NOW)
    await revocation.release(connection, SECOND.serial, "a new TPM", NOW)
    assert await refused(connection, FIRST) == "registry.unit-revoked"
    assert await recognise(connection, SECOND, NOW) == NOBODY


async def test_a_unit_whose_certificate_has_expired_needs_another(connection: Connection) -> None:
    unit = await issue(connection, FIRST, not_after=NOW + 10)
    assert (await recognise(connection, FIRST, NOW + 9)).certificate == unit.certificate
    assert await recognise(connection, FIRST, NOW + 10) == Recognition(unit, None, None, ())
    reservation = await reservations.reserve_certificate(connection, unit.id, FIRST, 2, NOW + 10)
    assert await recognise(connection, FIRST, NOW + 11) == Recognition(unit, None, reservation, ())


@pytest.mark.parametrize("applicant", [FIRST, WITHOUT_TPM])
async def test_an_applicant_goes_on_with_its_own_reservation(connection: Connection, applicant: Applicant) -> None:
    reservation = await reserve(connection, applicant)
    found = await recognise(connection, applicant, NOW + 1)
    assert (found.certificate, found.reservation, found.replaced) == (None, reservation, ())


@pytest.mark.parametrize(("applicant", "code"), PARTIAL)
async def test_a_reservation_holds_its_place_against_others(
    connection: Connection, applicant: Applicant, code: str
) -> None:
    await reserve(connection, FIRST)
    assert await refused(connection, applicant) == code


@pytest.mark.parametrize("applicant", [applicant for applicant, _ in OTHERWISE])
async def test_a_reservation_gives_way_to_its_own_unit_with_another_key_or_sensor(
    connection: Connection, applicant: Applicant
) -> None:
    reservation = await reserve(connection, FIRST)
    assert await recognise(connection, applicant, NOW) == Recognition(None, None, None, (reservation.unit_id,))


async def test_two_units_without_a_tpm_are_not_alike_for_having_none(connection: Connection) -> None:
    await reserve(connection, WITHOUT_TPM, 1)
    other = replace(SECOND, ek_fingerprint=None)
    assert await recognise(connection, other, NOW) == NOBODY
    for shared, code in (
        (replace(other, device_fingerprint=FIRST.device_fingerprint), "registry.device-key-taken"),
        (replace(other, nuc_blind_index=FIRST.nuc_blind_index), "registry.duplicate-nuc"),
    ):
        assert await refused(connection, shared) == code


async def test_a_unit_without_a_tpm_is_never_recognised(connection: Connection) -> None:
    await issue(connection, WITHOUT_TPM)
    assert await refused(connection, WITHOUT_TPM) == "registry.serial-taken"


async def test_an_expired_reservation_is_in_nobodys_way(connection: Connection) -> None:
    reservation = await reserve(connection, FIRST)
    late = NOW + LIFETIME_SECONDS
    for applicant in (FIRST, *(applicant for applicant, _ in PARTIAL)):
        found = await recognise(connection, applicant, late)
        assert found == Recognition(None, None, None, (reservation.unit_id,))
    assert (await units.by_id(connection, reservation.unit_id)).certificate is None
