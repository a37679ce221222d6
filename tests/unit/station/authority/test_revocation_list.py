"""The revocation list: its entries, when it changes, and that OpenSSL accepts it."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from shared.errors import BirthmarkError
from station.authority.crl import LIFETIMES
from station.authority.revocation_list import CurrentRevocationList
from station.provisioning.offline import ProvisionedUnit, ProvisioningRequest
from station.registry import audit, revocation, units
from station.registry.database import Database
from station.registry.location import registry_url
from station.registry.records import CrlScope
from station.registry.revocation import RevocationCode
from tests.harness import issuing, openssl
from tests.harness.applicants import FIRST
from tests.harness.bare_station import NOW, BareStation, open_bare_station
from tests.harness.slow_signer import SlowSigner

DAY = 86_400


async def provision(bare_station: BareStation, serial: str = "CAM-1") -> ProvisionedUnit:
    return await bare_station.offline_provisioner.provision(ProvisioningRequest(serial), "test")


async def revoke(bare_station: BareStation, serial: str, code: RevocationCode = RevocationCode.HOLD) -> None:
    async with bare_station.database.write() as connection:
        await revocation.revoke(connection, serial, code, "stolen", int(bare_station.clock()))


async def current(bare_station: BareStation) -> x509.CertificateRevocationList:
    return x509.load_der_x509_crl(await bare_station.revocation_list.current())


def number(crl: x509.CertificateRevocationList) -> int:
    return crl.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number


def reason(crl: x509.CertificateRevocationList, provisioned: ProvisionedUnit) -> x509.ReasonFlags | None:
    """The reason that stands in the list for a unit's certificate, None when it is not in it."""
    entry = crl.get_revoked_certificate_by_serial_number(int(provisioned.certificate_serial, 16))
    return entry.extensions.get_extension_for_class(x509.CRLReason).value.reason if entry else None


async def test_openssl_verifies_the_list_as_der_and_as_pem(tmp_path: Path) -> None:
    async with open_bare_station(tmp_path) as bare_station:
        await provision(bare_station)
        await revoke(bare_station, "CAM-1")
        crl = await current(bare_station)
        issuer = openssl.pem(tmp_path / "issuer.pem", bare_station.authority.certificates.intermediate)
        for encoding, form in ((Encoding.DER, "DER"), (Encoding.PEM, "PEM")):
            file = tmp_path / f"crl.{form}"
            file.write_bytes(crl.public_bytes(encoding))
            answer = openssl.run("crl", "-verify", "-noout", "-inform", form, "-in", file, "-CAfile", issuer)
            assert "verify OK" in answer.stderr, answer.stderr


async def test_openssl_refuses_a_revoked_unit_and_accepts_another(tmp_path: Path) -> None:
    async with open_bare_station(tmp_path) as bare_station:
        good, bad = await provision(bare_station, "CAM-1"), await provision(bare_station, "CAM-2")
        await revoke(bare_station, "CAM-2", RevocationCode.KEY_COMPROMISE)
        file = tmp_path / "crl.pem"
        file.write_bytes((await current(bare_station)).public_bytes(Encoding.PEM))
    options = ("-attime", str(NOW), "-crl_check", "-CRLfile", file)
    accepted, refused = (openssl.verify(tmp_path, unit.chain, *options) for unit in (good, bad))
    assert accepted.returncode == 0, accepted.stderr
    assert refused.returncode != 0
    assert "certificate revoked" in refused.stderr


async def test_the_list_names_its_issuers_key_and_its_next_update(tmp_path: Path) -> None:
    async with open_bare_station(tmp_path) as bare_station:
        crl = await current(bare_station)
        identifier = crl.extensions.get_extension_for_class(x509.AuthorityKeyIdentifier).value.key_identifier
        own = bare_station.authority.certificates.intermediate.extensions.get_extension_for_class(
            x509.SubjectKeyIdentifier
        ).value
        assert identifier == own.digest
        assert crl.next_update_utc == crl.last_update_utc + LIFETIMES[CrlScope.DEVICES]
        assert crl.last_update_utc.timestamp() < NOW < crl.next_update_utc.timestamp()


@pytest.mark.parametrize("code", list(RevocationCode))
async def test_each_reason_is_in_the_list_by_its_name(tmp_path: Path, code: RevocationCode) -> None:
    async with open_bare_station(tmp_path) as bare_station:
        provisioned = await provision(bare_station)
        await revoke(bare_station, "CAM-1", code)
        assert reason(await current(bare_station), provisioned) is x509.ReasonFlags(code.value)


async def test_a_revocation_and_a_reinstatement_show_at_once_and_the_number_only_grows(tmp_path: Path) -> None:
    async with open_bare_station(tmp_path) as bare_station:
        provisioned = await provision(bare_station)
        before = await current(bare_station)
        await revoke(bare_station, "CAM-1")
        revoked = await current(bare_station)
        async with bare_station.database.write() as connection:
            await revocation.reinstate(connection, "CAM-1", "found", int(bare_station.clock()))
        after = await current(bare_station)
    assert reason(before, provisioned) is None
    assert reason(revoked, provisioned) is x509.ReasonFlags.certificate_hold
    assert reason(after, provisioned) is None
    assert number(before) < number(revoked) < number(after)


async def test_a_released_unit_is_revoked_for_good_even_from_hold(tmp_path: Path) -> None:
    async with open_bare_station(tmp_path) as bare_station:
        plain, held, stolen = [await provision(bare_station, serial) for serial in ("CAM-1", "CAM-2", "CAM-3")]
        await revoke(bare_station, "CAM-2")
        await revoke(bare_station, "CAM-3", RevocationCode.KEY_COMPROMISE)
        async with bare_station.database.write() as connection:
            for serial in ("CAM-1", "CAM-2", "CAM-3"):
                await revocation.release(connection, serial, "scrapped", int(bare_station.clock()))
        crl = await current(bare_station)
    assert reason(crl, plain) is x509.ReasonFlags.cessation_of_operation
    assert reason(crl, held) is x509.ReasonFlags.cessation_of_operation
    assert reason(crl, stolen) is x509.ReasonFlags.key_compromise


async def test_an_unchanged_list_is_given_again_until_half_its_life_is_over(tmp_path: Path) -> None:
    async with open_bare_station(tmp_path) as bare_station:
        first = await bare_station.revocation_list.current()
        bare_station.clock.now += LIFETIMES[CrlScope.DEVICES].total_seconds() / 2 - 1
        assert await bare_station.revocation_list.current() == first
        bare_station.clock.now += 1
        renewed = await bare_station.revocation_list.current()
    assert number(x509.load_der_x509_crl(renewed)) == number(x509.load_der_x509_crl(first)) + 1


async def test_a_certificate_leaves_the_list_only_well_after_its_own_end(tmp_path: Path) -> None:
    async with open_bare_station(tmp_path) as bare_station:
        provisioned = await provision(bare_station)
        end = x509.load_der_x509_certificate(provisioned.chain[0]).not_valid_after_utc.timestamp()
        await revoke(bare_station, "CAM-1")
        bare_station.clock.now = end + LIFETIMES[CrlScope.DEVICES].total_seconds()
        assert reason(await current(bare_station), provisioned) is not None
        bare_station.clock.now = end + 3 * LIFETIMES[CrlScope.DEVICES].total_seconds()
        assert reason(await current(bare_station), provisioned) is None


async def test_every_signed_list_is_in_the_audit_log(tmp_path: Path) -> None:
    async with open_bare_station(tmp_path) as bare_station:
        await bare_station.revocation_list.current()
        await bare_station.revocation_list.current()
        async with bare_station.database.read() as connection:
            events = [row.event for row in await audit.read(connection)]
    assert events.count("crl-signed") == 1


# --- a slow signer ---


def with_signer(bare_station: BareStation) -> tuple[CurrentRevocationList, SlowSigner]:
    signer = SlowSigner(bare_station.authority.issuer)
    return CurrentRevocationList(signer, bare_station.database, bare_station.clock), signer


async def test_no_transaction_is_held_while_a_list_is_signed_and_no_revocation_meanwhile_is_lost(
    tmp_path: Path,
) -> None:
    async with open_bare_station(tmp_path) as bare_station:
        one, other = await provision(bare_station, "CAM-1"), await provision(bare_station, "CAM-2")
        crl, signer = with_signer(bare_station)
        await revoke(bare_station, "CAM-1")
        signer.pause()
        signing = asyncio.create_task(crl.current())
        await signer.hold(signing)
        async with asyncio.timeout(60):
            await provision(bare_station, "CAM-3")
            await revoke(bare_station, "CAM-2")
        signer.may_sign.set()
        first = x509.load_der_x509_crl(await signing)
        second = x509.load_der_x509_crl(await crl.current())
    assert (reason(first, one), reason(first, other)) == (x509.ReasonFlags.certificate_hold, None)
    assert reason(second, one) is reason(second, other) is x509.ReasonFlags.certificate_hold
    assert number(first) < number(second)


async def test_requests_that_come_while_a_list_is_signed_share_it(tmp_path: Path) -> None:
    async with open_bare_station(tmp_path) as bare_station:
        crl, signer = with_signer(bare_station)
        signer.pause()
        signing = [asyncio.create_task(crl.current()) for _ in range(10)]
        await signer.hold(signing[0])
        signer.may_sign.set()
        assert len(set(await asyncio.gather(*signing))) == 1
        assert signer.lists == [1]


async def test_of_two_stations_lists_the_one_with_the_higher_number_stays(tmp_path: Path) -> None:
    async with open_bare_station(tmp_path) as bare_station:
        provisioned = await provision(bare_station)
        slow, signer = with_signer(bare_station)
        signer.pause()
        signing = asyncio.create_task(slow.current())
        await signer.hold(signing)
        await revoke(bare_station, "CAM-1")
        database = Database(registry_url(tmp_path), "bench 4")
        try:
            quick = CurrentRevocationList(bare_station.authority.issuer, database, bare_station.clock)
            later = await quick.current()
            signer.may_sign.set()
            earlier = x509.load_der_x509_crl(await signing)
            assert await slow.current() == await quick.current() == later
        finally:
            await database.close()
    assert number(earlier) < number(x509.load_der_x509_crl(later))
    assert reason(x509.load_der_x509_crl(later), provisioned) is x509.ReasonFlags.certificate_hold


async def test_a_list_that_cannot_be_signed_is_tried_again_under_a_higher_number(tmp_path: Path) -> None:
    async with open_bare_station(tmp_path) as bare_station:
        crl, signer = with_signer(bare_station)
        signer.error = BirthmarkError("registry.unavailable", "the signer is away")
        with pytest.raises(BirthmarkError, match="the signer is away"):
            await crl.current()
        signer.error = None
        assert number(x509.load_der_x509_crl(await crl.current())) == 2


async def test_the_issuer_is_told_of_each_revocation_before_it_signs_the_list(tmp_path: Path) -> None:
    async with open_bare_station(tmp_path) as bare_station:
        made = [await provision(bare_station, f"CAM-{count}") for count in (1, 2)]
        crl, signer = with_signer(bare_station)
        await revoke(bare_station, "CAM-1", RevocationCode.KEY_COMPROMISE)
        bare_station.clock.now += 61
        await crl.current()
        told = [(one.certificate_serial, one.reason) for one in signer.told]
        assert told == [(int(made[0].certificate_serial, 16), "keyCompromise")]
        bare_station.clock.now += 61
        await revoke(bare_station, "CAM-2")
        await crl.current()
    told = [(one.certificate_serial, one.reason) for one in signer.told]
    assert told[1:] == [(int(made[1].certificate_serial, 16), "certificateHold")]


async def test_every_certificate_of_a_revoked_unit_is_in_the_list(tmp_path: Path) -> None:
    """A unit that was renewed has two; the list holds the one that has ended for a while, too."""
    async with open_bare_station(tmp_path) as bare_station:
        first = await issuing.issue(bare_station.issuance, FIRST, NOW)
        async with bare_station.database.write() as connection:
            await units.confirm(connection, first.unit.id, NOW)
        bare_station.clock.now = first.certificate.not_after
        second = await issuing.issue(bare_station.issuance, FIRST, bare_station.clock.now)
        await revoke(bare_station, FIRST.serial)
        crl = await current(bare_station)
    assert {entry.serial_number for entry in crl} == {int(one.certificate.serial, 16) for one in (first, second)}
