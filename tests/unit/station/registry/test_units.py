"""Applicants are new, known or refused, and units change their state. A refusal writes nothing."""

from __future__ import annotations

import datetime as dt
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.errors import BirthmarkError
from shared.types import TableId, board_serial
from tests.harness import issuing
from station.authority.profiles import DeviceSubject
from station.registry import audit, revocation, units
from station.registry.records import Applicant, Issuance, KeyHolder, UnitState
from station.registry.revocation import RevocationCode
from tests.harness.bare_station import NOW, BareStation, open_bare_station

FIRST = Applicant(
    serial=board_serial("10000000abcdef01"),
    key_holder=KeyHolder.TPM,
    family="Raspberry Pi",
    station="bench 3",
    port="/dev/ttyACM0",
    device_fingerprint=b"device 1",
    nuc_blind_index=b"sensor 1",
    ek_fingerprint=b"tpm 1",
    ek_trust="verified",
)
SECOND = replace(
    FIRST,
    serial=board_serial("10000000abcdef02"),
    device_fingerprint=b"device 2",
    nuc_blind_index=b"sensor 2",
    ek_fingerprint=b"tpm 2",
)
TABLES = (TableId(0), TableId(3), TableId(7))


@pytest.fixture
async def bare_station(tmp_path: Path) -> AsyncIterator[BareStation]:
    async with open_bare_station(tmp_path) as bare_station:
        yield bare_station


class Issuer:
    """Makes certificates and counts them."""

    def __init__(self, bare_station: BareStation) -> None:
        self._station = bare_station
        self.made: list[x509.Certificate] = []

    def issue(self, tables: tuple[TableId, ...]) -> x509.Certificate:
        assert tables == TABLES
        key = ec.generate_private_key(ec.SECP256R1()).public_key()
        subject = DeviceSubject(FIRST.serial, key, b"t" * 32)
        self.made.append(self._station.authority.issue(subject, dt.datetime.fromtimestamp(NOW, dt.UTC)))
        return self.made[-1]


@pytest.fixture
def issuer(bare_station: BareStation) -> Issuer:
    return Issuer(bare_station)


async def provision(bare_station: BareStation, issuer: Issuer, applicant: Applicant, now: int = NOW) -> Issuance:
    async with bare_station.database.write() as connection:
        return await units.issue_or_resume(connection, applicant, now, issuer.issue, lambda: TABLES)


async def refused(bare_station: BareStation, issuer: Issuer, applicant: Applicant) -> str:
    before, made = await events(bare_station), len(issuer.made)
    with pytest.raises(BirthmarkError) as caught:
        await provision(bare_station, issuer, applicant)
    assert await events(bare_station) == before
    assert len(issuer.made) == made
    return caught.value.code


async def events(bare_station: BareStation) -> list[str]:
    async with bare_station.database.read() as connection:
        return [row.event for row in await audit.read(connection)]


async def release(connection: AsyncConnection, applicant: Applicant = FIRST) -> None:
    await revocation.release(connection, applicant.serial, "a new TPM", NOW + 5)


def fingerprint(certificate: x509.Certificate) -> bytes:
    return certificate.fingerprint(hashes.SHA256())


# --- who is who ---


async def test_a_new_applicant_gets_a_unit_with_all_its_fields(bare_station: BareStation, issuer: Issuer) -> None:
    issued = await provision(bare_station, issuer, FIRST)
    unit = issued.unit
    assert not issued.resumed
    assert (unit.serial, unit.state, unit.tables, unit.issued_at) == (FIRST.serial, UnitState.ISSUED, TABLES, NOW)
    assert (unit.key_holder, unit.family, unit.ek_trust) == (KeyHolder.TPM, "Raspberry Pi", "verified")
    assert unit.certificate == issuer.made[0].public_bytes(Encoding.DER)
    assert int(unit.certificate_serial, 16) == issuer.made[0].serial_number
    assert await events(bare_station) == ["issued"]


async def test_a_known_applicant_gets_its_unit_again_and_nothing_is_made(
    bare_station: BareStation, issuer: Issuer
) -> None:
    first = await provision(bare_station, issuer, FIRST)
    again = await provision(bare_station, issuer, replace(FIRST, port="/dev/ttyACM7"), NOW + 9)
    assert again.resumed
    assert again.unit == first.unit
    assert len(issuer.made) == 1
    assert await events(bare_station) == ["issued", "resumed"]


@pytest.mark.parametrize(
    ("applicant", "code"),
    [
        (replace(FIRST, ek_fingerprint=b"tpm 9"), "registry.serial-taken"),
        (replace(FIRST, ek_fingerprint=None), "registry.serial-taken"),
        (replace(FIRST, serial=board_serial("10000000abcdef09")), "registry.ek-taken"),
        (replace(FIRST, device_fingerprint=b"device 9"), "registry.device-key-changed"),
        (replace(FIRST, nuc_blind_index=b"sensor 9"), "registry.nuc-changed"),
        (replace(FIRST, certificate_sha256=b"of nobody"), "identity.unknown-certificate"),
    ],
)
async def test_an_applicant_that_matches_a_unit_only_in_part_is_refused(
    bare_station: BareStation, issuer: Issuer, applicant: Applicant, code: str
) -> None:
    await provision(bare_station, issuer, FIRST)
    assert await refused(bare_station, issuer, applicant) == code


@pytest.mark.parametrize(
    ("applicant", "code"),
    [
        (replace(SECOND, device_fingerprint=FIRST.device_fingerprint), "registry.device-key-taken"),
        (replace(SECOND, nuc_blind_index=FIRST.nuc_blind_index), "registry.duplicate-nuc"),
    ],
)
async def test_another_unit_may_not_have_the_key_or_the_sensor_of_one(
    bare_station: BareStation, issuer: Issuer, applicant: Applicant, code: str
) -> None:
    await provision(bare_station, issuer, FIRST)
    assert await refused(bare_station, issuer, applicant) == code


async def test_a_unit_shows_its_own_certificate_and_not_anothers(bare_station: BareStation, issuer: Issuer) -> None:
    await provision(bare_station, issuer, FIRST)
    await provision(bare_station, issuer, SECOND)
    own, others = (fingerprint(certificate) for certificate in issuer.made)
    assert (await provision(bare_station, issuer, replace(FIRST, certificate_sha256=own))).resumed
    assert (
        await refused(bare_station, issuer, replace(FIRST, certificate_sha256=others)) == "identity.unknown-certificate"
    )


async def test_two_units_without_a_tpm_are_not_alike_for_having_none(bare_station: BareStation, issuer: Issuer) -> None:
    async with bare_station.database.write() as connection:
        for applicant in (FIRST, SECOND):
            without = replace(applicant, ek_fingerprint=None, key_holder=KeyHolder.SOFTWARE)
            await units.issue_new(connection, without, NOW, issuer.issue, lambda: TABLES)
        with pytest.raises(BirthmarkError) as caught:
            await units.issue_new(connection, replace(FIRST, ek_fingerprint=None), NOW, issuer.issue, lambda: TABLES)
    assert caught.value.code == "registry.serial-taken"


# --- what becomes of a unit ---


async def test_a_receipt_makes_a_unit_provisioned_once(bare_station: BareStation, issuer: Issuer) -> None:
    unit = (await provision(bare_station, issuer, FIRST)).unit
    async with bare_station.database.write() as connection:
        confirmed = await units.confirm(connection, unit.id, NOW + 1, 1234)
        again = await units.confirm(connection, unit.id, NOW + 2, 9999)
    assert (confirmed.state, confirmed.provisioned_at, confirmed.duration_ms) == (UnitState.PROVISIONED, NOW + 1, 1234)
    assert again == confirmed
    assert await events(bare_station) == ["issued", "provisioned"]


async def test_a_unit_revoked_or_released_meanwhile_is_not_provisioned(
    bare_station: BareStation, issuer: Issuer
) -> None:
    one, other = [(await provision(bare_station, issuer, applicant)).unit for applicant in (FIRST, SECOND)]
    async with bare_station.database.write() as connection:
        await release(connection)
        await revocation.revoke(connection, SECOND.serial, RevocationCode.HOLD, "lost", NOW)
        for unit, code in ((one, "registry.released-meanwhile"), (other, "registry.unit-revoked")):
            with pytest.raises(BirthmarkError) as caught:
                await units.confirm(connection, unit.id, NOW)
            assert caught.value.code == code
    assert await refused(bare_station, issuer, SECOND) == "registry.unit-revoked"


async def test_a_released_serial_tpm_and_sensor_are_free_and_the_unit_is_unknown(
    bare_station: BareStation, issuer: Issuer
) -> None:
    first = (await provision(bare_station, issuer, FIRST)).unit
    async with bare_station.database.write() as connection:
        await release(connection)
        with pytest.raises(BirthmarkError) as caught:
            await release(connection)
    assert caught.value.code == "registry.unknown-unit"
    second = await provision(
        bare_station, issuer, replace(FIRST, ek_fingerprint=b"tpm 9", device_fingerprint=b"device 9")
    )
    assert not second.resumed
    async with bare_station.database.read() as connection:
        gone = await units.by_id(connection, first.id)
        assert (gone.state, gone.closed_at, gone.closed_reason) == (UnitState.RELEASED, NOW + 5, "a new TPM")
        assert (await units.active(connection, FIRST.serial)).id == second.unit.id
        assert [unit.id for unit in await issuing.listed(connection)] == [second.unit.id]


async def test_units_are_listed_the_latest_first_in_pages_and_counted_by_state(
    bare_station: BareStation, issuer: Issuer
) -> None:
    made = [(await provision(bare_station, issuer, applicant)).unit for applicant in (FIRST, SECOND)]
    async with bare_station.database.write() as connection:
        await units.confirm(connection, made[0].id, NOW)
    async with bare_station.database.read() as connection:
        [latest] = await issuing.listed(connection, limit=1)
        [earlier] = await issuing.listed(connection, before=latest.id)
        assert (latest.id, earlier.id) == (made[1].id, made[0].id)
        assert latest.tables == earlier.tables == TABLES
        assert await units.count_by_state(connection) == {
            UnitState.ISSUED: 1,
            UnitState.PROVISIONED: 1,
            UnitState.REVOKED: 0,
            UnitState.RELEASED: 0,
        }
