"""A station renews its own certificate in time, or once it is revoked, and shows the current list of stations."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from shared.errors import BirthmarkError
from station.authority import files
from station.authority.profiles import STATION_DAYS
from station.config import StationConfig
from station.events import Topic
from station.provisioning import own_certificate
from station.provisioning.own_certificate import RENEW_BEFORE
from station.registry import stations
from station.registry.stations import StationCertificate
from station.services import Services
from tests.harness.bare_station import BareStation, open_bare_station, with_other
from tests.harness.certificates import chain_of_trust
from tests.harness.slow_signer import SlowSigner

DAY = 86_400


@pytest.fixture
async def bare(tmp_path: Path) -> AsyncIterator[BareStation]:
    async with open_bare_station(tmp_path) as station:
        yield station


def certificate(station: Services) -> x509.Certificate:
    return station.own.identity().certificate


async def recorded(station: Services) -> list[StationCertificate]:
    async with station.database.read() as connection:
        return await stations.list_all(connection)


async def revoke(station: Services, named: str) -> None:
    async with station.database.write() as connection:
        await stations.revoke(connection, named, "stolen", int(station.clock()))


def shown(station: Services) -> x509.CertificateRevocationList:
    return x509.load_der_x509_crl(station.own.identity().revoked_stations)


def with_signer(bare: BareStation) -> tuple[Services, SlowSigner]:
    signer = SlowSigner(bare.authority.issuer)
    return with_other(bare, authority=replace(bare.authority, issuer=signer)), signer


async def failing(station: Services) -> str:
    with pytest.raises(BirthmarkError) as caught:
        await station.own.refresh()
    return caught.value.code


async def test_a_certificate_with_more_than_a_month_to_live_stays_and_is_recorded(bare: BareStation) -> None:
    before = certificate(bare)
    bare.clock.now += STATION_DAYS * DAY - RENEW_BEFORE.total_seconds() - DAY
    await bare.own.refresh()
    await bare.own.refresh()
    assert certificate(bare) == before
    assert [one.certificate_serial for one in await recorded(bare)] == [f"{before.serial_number:x}"]


async def test_in_its_last_month_it_is_renewed_for_a_new_key_and_survives_a_restart(
    bare: BareStation, tmp_path: Path
) -> None:
    before = certificate(bare)
    bare.clock.now += STATION_DAYS * DAY - RENEW_BEFORE.total_seconds()
    await bare.own.refresh()
    after = certificate(bare)
    assert after.public_key() != before.public_key()
    assert (after.not_valid_after_utc - before.not_valid_after_utc).days == STATION_DAYS - RENEW_BEFORE.days
    assert len(await recorded(bare)) == 1
    again = files.load(bare.data_dir, StationConfig(), bare.secret).identity
    assert again.certificate == after
    key = again.certificate.public_key()
    assert isinstance(key, ec.EllipticCurvePublicKey)
    key.verify(again.sign(b"x"), b"x", ec.ECDSA(hashes.SHA256()))
    assert [path.name for path in (bare.data_dir / "authority").glob(".*")] == []


async def test_an_expired_certificate_is_renewed_at_the_start(bare: BareStation) -> None:
    bare.clock.now += 400 * DAY
    await bare.own.refresh()
    assert certificate(bare).not_valid_after_utc.timestamp() > bare.clock.now + 80 * DAY


async def test_a_revoked_station_shows_that_it_is_and_greets_with_another_certificate(bare: BareStation) -> None:
    await bare.own.refresh()
    stolen = certificate(bare).serial_number
    assert len(shown(bare)) == 0
    await revoke(bare, f"{stolen:x}")
    await bare.own.refresh()
    assert certificate(bare).serial_number != stolen
    assert [entry.serial_number for entry in shown(bare)] == [stolen]
    assert bare.provisioner.greet().message.revoked_stations == bare.own.identity().revoked_stations


async def test_a_session_keeps_the_identity_that_it_began_with(bare: BareStation) -> None:
    greeting = bare.provisioner.greet()
    bare.clock.now += STATION_DAYS * DAY
    await bare.own.refresh()
    assert greeting.station.chain == greeting.message.chain
    assert bare.provisioner.greet().station.chain != greeting.message.chain


async def test_while_the_issuer_is_away_the_old_one_stays_and_the_operator_is_told(bare: BareStation) -> None:
    station, signer = with_signer(bare)
    before = certificate(station)
    bare.clock.now += STATION_DAYS * DAY - DAY
    signer.error = BirthmarkError("registry.unavailable")
    assert await failing(station) == "registry.unavailable"
    assert certificate(station) == before
    notice = station.bus.notice(Topic.CERTIFICATE)
    assert "cannot be renewed" in notice
    assert f"{before.not_valid_after_utc:%Y-%m-%d}" in notice
    signer.error = None
    await station.own.refresh()
    assert certificate(station) != before
    assert station.bus.notice(Topic.CERTIFICATE) == ""


async def test_an_issuer_that_does_not_answer_is_not_waited_for(
    bare: BareStation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(own_certificate, "ISSUER_SECONDS", 0.05)
    station, signer = with_signer(bare)
    bare.clock.now += STATION_DAYS * DAY
    signer.pause()
    assert await failing(station) == "authority.issuer-silent"


@pytest.mark.parametrize("wrong", ["another key", "another authority"])
async def test_a_certificate_that_the_station_cannot_use_is_not_taken(bare: BareStation, wrong: str) -> None:
    station, signer = with_signer(bare)
    before = certificate(station)
    bare.clock.now += STATION_DAYS * DAY
    signer.answer = before if wrong == "another key" else chain_of_trust().station
    assert await failing(station) == "authority.station-refused"
    assert certificate(station) == before


async def test_a_full_disk_leaves_the_old_one_in_use(bare: BareStation, monkeypatch: pytest.MonkeyPatch) -> None:
    before = certificate(bare)
    bare.clock.now += STATION_DAYS * DAY

    def full(*_: object) -> None:
        raise BirthmarkError("data.unwritable", "No space left on device")

    monkeypatch.setattr(files, "store_station", full)
    assert await failing(bare) == "data.unwritable"
    assert certificate(bare) == before
