"""Malformed DER is repaired to one form; what cannot be read is refused in bounded time and memory."""

from __future__ import annotations

import pytest
from cryptography import x509

from shared.errors import BirthmarkError
from station.attestation.ek.der_repair import repair_der, strip_padding
from station.attestation.ek.vendor_certificate import VendorCertificate
from tests.harness.rough_vendors import rough_vendors
from tests.harness.soft_device import Device
from tests.harness.vendor_lab import Vendor, value

HONEST = Device()


VENDORS = list(rough_vendors().values())


LEAF = Vendor().ek(HONEST.ek.private.public_key())


def test_repairing_repaired_der_changes_nothing() -> None:
    for der in (LEAF, *VENDORS):
        assert repair_der(repair_der(der)) == repair_der(der)
        assert strip_padding(der + bytes(99)) == der


def test_values_nested_without_end_are_refused_and_exhaust_nothing() -> None:
    nested = b""
    while len(nested) < 14_000:
        nested = value(0x30, nested)
    with pytest.raises(BirthmarkError, match="nested too deeply"):
        repair_der(nested)
    alternative_name = x509.UnrecognizedExtension(x509.ObjectIdentifier("2.5.29.17"), nested)
    key = HONEST.ek.private.public_key()
    with pytest.raises(BirthmarkError, match="nested too deeply"):
        VendorCertificate.read(Vendor().ek(key, tpm=None, extensions=[(alternative_name, False)]))
