"""The list of revoked stations is read as what it is, and nothing else is read as one."""

from __future__ import annotations

import datetime as dt

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding

from device_agent.session.station_list import StationList
from shared import limits
from station.authority import crl
from station.authority.crl import RevokedCertificate
from station.authority.profiles import BACKDATE
from station.registry.records import CrlScope
from tests.harness.certificates import NOW, chain_of_trust

UNKNOWN = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3"), b"x")
OURS = chain_of_trust()


def builder(count: int = 0, scope: CrlScope = CrlScope.STATIONS) -> x509.CertificateRevocationListBuilder:
    revoked = [RevokedCertificate(1 << 158 | index, NOW, "keyCompromise") for index in range(count)]
    return crl.revocation_list(OURS.intermediate, revoked, 7, NOW, scope)


def signed(made: x509.CertificateRevocationListBuilder) -> bytes:
    return made.sign(OURS.intermediate_key, hashes.SHA256()).public_bytes(Encoding.DER)


def test_a_full_list_fits_into_a_hello_and_is_read_whole() -> None:
    der = signed(builder(limits.REVOKED_STATIONS))
    assert len(der) <= limits.STATION_CRL_BYTES
    found = StationList.read(der)
    assert (found.number, found.issued_at) == (7, NOW - BACKDATE)
    assert found.revoked == {1 << 158 | index for index in range(limits.REVOKED_STATIONS)}
    assert found.is_signed_by(OURS.intermediate)
    assert not found.is_signed_by(OURS.root)


@pytest.mark.parametrize(
    "der",
    [
        b"",
        b"\x30\x00",
        signed(builder())[:-1],
        OURS.station.public_bytes(Encoding.DER),
        signed(builder(scope=CrlScope.DEVICES)),
        signed(builder(limits.REVOKED_STATIONS + 1)),
        signed(builder().add_extension(UNKNOWN, critical=True)),
        signed(
            x509.CertificateRevocationListBuilder(OURS.intermediate.subject, NOW, NOW + dt.timedelta(days=1))
            .add_extension(builder()._extensions[2].value, critical=True)
        ),
    ],
    ids=["nothing", "empty", "cut", "certificate", "of devices", "too long", "critical extension", "no number"],
)  # fmt: skip
def test_what_is_no_list_of_stations_is_refused(der: bytes) -> None:
    with pytest.raises(ValueError, match=r"^the list "):
        StationList.read(der)
