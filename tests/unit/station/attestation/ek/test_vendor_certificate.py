"""TPM vendors' certificates and PEM files are read, or refused with one of our errors."""

from __future__ import annotations

from hypothesis import given, settings

from station.attestation.ek.bundle import read_bundle
from station.attestation.ek.vendor_certificate import VendorCertificate
from tests.harness.damage import damaged, never_crashes
from tests.harness.rough_vendors import rough_vendors
from tests.harness.soft_device import Device
from tests.harness.vendor_lab import Vendor

HONEST = Device()


VENDORS = list(rough_vendors().values())


LEAF = Vendor().ek(HONEST.ek.private.public_key())


@given(damaged(LEAF, *VENDORS))
@settings(max_examples=500)
def test_a_certificate_is_read_or_refused(octets: bytes) -> None:
    never_crashes(VendorCertificate.read, octets)


@given(damaged(b"-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"))
def test_a_pem_file_is_read_or_refused(octets: bytes) -> None:
    never_crashes(read_bundle, octets)
