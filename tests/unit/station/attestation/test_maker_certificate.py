"""A TPM maker's certificate, and the PEM files that hold them: read, or refused by one of our errors."""

from __future__ import annotations

from hypothesis import given, settings

from station.attestation.maker_certificate import MakerCertificate, pem_certificates
from tests.unit.station.attestation.damage import damaged, never_crashes
from tests.unit.station.attestation.makers_lab import Maker
from tests.unit.station.attestation.rough_makers import rough_makers
from tests.unit.station.attestation.soft_device import Device

HONEST = Device()


VENDORS = list(rough_makers().values())


LEAF = Maker().ek(HONEST.ek.private.public_key())


@given(damaged(LEAF, *VENDORS))
@settings(max_examples=500)
def test_a_certificate_is_read_or_refused(octets: bytes) -> None:
    never_crashes(MakerCertificate.read, octets)


@given(damaged(b"-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"))
def test_a_pem_file_is_read_or_refused(octets: bytes) -> None:
    never_crashes(pem_certificates, octets)
