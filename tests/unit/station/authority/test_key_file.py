"""The key file's issuer: certificates as they were requested, and lists that hold up no session."""

from __future__ import annotations

import datetime as dt
import threading

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from shared.types import board_serial
from station.authority import crl
from station.authority.certificates import AuthorityCertificates
from station.authority.crl import RevokedCertificate
from station.authority.issuer import CertificateRequest, Issuer
from station.authority.key_file import KeyFileIssuer
from station.authority.profiles import BACKDATE, DeviceSubject
from station.config import AuthorityConfig
from station.registry.records import CrlScope
from tests.harness.certificates import NOW, chain_of_trust

AUTHORITY = chain_of_trust()
EARLIEST = NOW - dt.timedelta(days=1)
CERTIFICATES = AuthorityCertificates(AUTHORITY.root, AUTHORITY.intermediate)
ISSUER: Issuer = KeyFileIssuer(
    AuthorityConfig(organization="A Maker", device_days=10, public_url="https://ma.example/"),
    CERTIFICATES,
    AUTHORITY.intermediate_key,
    EARLIEST,
)
SUBJECT = DeviceSubject(
    board_serial("10000000abcdef01"), ec.generate_private_key(ec.SECP256R1()).public_key(), b"t" * 32
)
MOST = (1 << 159) - 1
"""RFC 5280 section 4.1.2.2: a serial number has at most 20 octets."""


@pytest.mark.parametrize("serial", [1, 4711, MOST])
async def test_a_certificate_is_for_the_subject_and_has_the_serial_number_that_was_reserved(serial: int) -> None:
    certificate = await ISSUER.issue(CertificateRequest(SUBJECT, serial, NOW))
    certificate.verify_directly_issued_by(AUTHORITY.intermediate)
    assert certificate.serial_number == serial
    assert certificate.public_key() == SUBJECT.key
    names = {attribute.oid: attribute.value for attribute in certificate.subject}
    assert names[x509.NameOID.COMMON_NAME] == SUBJECT.serial
    assert names[x509.NameOID.ORGANIZATION_NAME] == "A Maker"


async def test_a_certificate_is_valid_for_the_configured_days_and_names_where_its_list_is() -> None:
    certificate = await ISSUER.issue(CertificateRequest(SUBJECT, 4711, NOW))
    assert certificate.not_valid_before_utc == NOW - BACKDATE
    assert certificate.not_valid_after_utc - certificate.not_valid_before_utc == dt.timedelta(days=10)
    points = certificate.extensions.get_extension_for_class(x509.CRLDistributionPoints).value
    assert [name.value for point in points for name in point.full_name or ()] == ["https://ma.example/crl"]


async def test_a_clock_that_was_set_back_makes_no_certificate_that_has_ended_already() -> None:
    back = NOW - dt.timedelta(days=4000)
    certificate = await ISSUER.issue(CertificateRequest(SUBJECT, 4711, back))
    assert certificate.not_valid_before_utc == EARLIEST - BACKDATE
    assert certificate.not_valid_after_utc > NOW


async def test_a_chain_is_that_of_the_authoritys_certificates() -> None:
    leaf = await ISSUER.issue(CertificateRequest(SUBJECT, 4711, NOW))
    der = leaf.public_bytes(Encoding.DER)
    assert ISSUER.chain_of(der) == CERTIFICATES.chain_of(der)
    assert ISSUER.issuer_of(leaf) == AUTHORITY.intermediate


async def test_a_list_shows_all_that_were_revoked_and_is_signed_by_the_intermediate() -> None:
    revoked = [RevokedCertificate(serial, NOW, "keyCompromise") for serial in (1, 4711, MOST)]
    for one in revoked:
        await ISSUER.revoke(one)
        await ISSUER.revoke(one)  # told again, as a station does that died in between
    found = x509.load_der_x509_crl(await ISSUER.revocation_list(revoked, 7, NOW, CrlScope.DEVICES))
    assert [entry.serial_number for entry in found] == [1, 4711, MOST]
    assert found.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number == 7
    assert found.is_signature_valid(AUTHORITY.intermediate_key.public_key())
    assert found.issuer == AUTHORITY.intermediate.subject


async def test_a_list_is_signed_beside_the_event_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    threads: list[threading.Thread] = []
    make = crl.revocation_list

    def noted(
        issuer: x509.Certificate, revoked: list[RevokedCertificate], number: int, now: dt.datetime, scope: CrlScope
    ) -> x509.CertificateRevocationListBuilder:
        threads.append(threading.current_thread())
        return make(issuer, revoked, number, now, scope)

    monkeypatch.setattr(crl, "revocation_list", noted)
    await ISSUER.revocation_list([], 1, NOW, CrlScope.DEVICES)
    [thread] = threads
    assert thread is not threading.current_thread()
