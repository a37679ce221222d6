"""Certificates are found by unit, by digest and by the time they expire; a request that is unsigned is none."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from shared.errors import BirthmarkError
from shared.types import board_serial
from station.registry import certificates, reservations, units
from station.registry.records import UNKNOWN_AUTHORITY, Certificate, CertificateState
from tests.harness.applicants import FIRST, SECOND, TABLES, signed
from tests.harness.bare_station import NOW, open_bare_station

DAY = 86_400


async def test_certificates_are_found_by_unit_and_by_digest(tmp_path: Path) -> None:
    async with open_bare_station(tmp_path) as station, station.database.write() as connection:
        first = await reservations.reserve_unit(connection, FIRST, 1, TABLES, NOW)
        await reservations.record(connection, first, signed(1, b"one"), FIRST, NOW)
        again = await reservations.reserve_certificate(connection, first.unit_id, FIRST, 2, NOW)
        await reservations.record(connection, again, signed(2, b"two"), FIRST, NOW)
        unsigned = await reservations.reserve_unit(connection, SECOND, 3, TABLES, NOW)

        one, two = await certificates.of_unit(connection, first.unit_id)
        assert (one.der, two.der, two.issuer, two.kind.value) == (b"one", b"two", b"an issuer", "device")
        assert await certificates.latest_of(connection, [first.unit_id, unsigned.unit_id]) == {first.unit_id: two}
        assert await certificates.by_sha256(connection, hashlib.sha256(b"one").digest()) == one
        assert await certificates.by_sha256(connection, bytes(32)) is None
        assert await certificates.of_unit(connection, unsigned.unit_id) == []

        own = replace(FIRST, certificate_sha256=one.sha256)
        await certificates.require_known(connection, FIRST)
        await certificates.require_known(connection, own)
        for stranger in (replace(own, device_fingerprint=b"another"), replace(own, certificate_sha256=bytes(32))):
            with pytest.raises(BirthmarkError) as caught:
                await certificates.require_known(connection, stranger)
            assert caught.value.code == "identity.unknown-certificate"


@pytest.mark.parametrize("state", list(CertificateState))
def test_a_certificate_is_usable_until_it_expires_is_superseded_or_revoked(state: CertificateState) -> None:
    values: Any = dict.fromkeys(Certificate.__slots__) | {"state": state, "not_after": NOW}
    certificate = Certificate(**values)
    live = state in (CertificateState.ISSUED, CertificateState.ACTIVE)
    assert certificates.is_usable(certificate, NOW - 1) is live
    assert not certificates.is_usable(certificate, NOW)
    assert not certificates.is_usable(replace(certificate, issuer=UNKNOWN_AUTHORITY), NOW - 1)


async def test_active_certificates_that_expire_soon_are_counted(tmp_path: Path) -> None:
    async with open_bare_station(tmp_path) as station, station.database.write() as connection:
        for number, (applicant, days) in enumerate(((FIRST, 10), (SECOND, 50)), 1):
            reservation = await reservations.reserve_unit(connection, applicant, number, TABLES, NOW)
            ending = signed(number, bytes([number]), NOW + days * DAY)
            unit = await reservations.record(connection, reservation, ending, applicant, NOW)
            assert await certificates.count_expiring(connection, NOW, NOW + days * DAY) == number - 1  # not yet active
            await units.confirm(connection, unit.id, NOW)
        assert [await certificates.count_expiring(connection, NOW, NOW + days * DAY) for days in (9, 10, 50)] == [
            0,
            1,
            2,
        ]
        assert await certificates.count_expiring(connection, NOW + 10 * DAY, NOW + 50 * DAY) == 1
        elsewhere = replace(signed(3, b"3", NOW + DAY), issuer=UNKNOWN_AUTHORITY)
        third = replace(
            SECOND, serial=board_serial("CAM-3"), device_fingerprint=b"3", nuc_blind_index=b"3", ek_fingerprint=None
        )
        await reservations.take_over(connection, third, elsewhere, TABLES, NOW)
        assert await certificates.count_expiring(connection, NOW, NOW + 9 * DAY) == 0, "nobody here can renew it"
