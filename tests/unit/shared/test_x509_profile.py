"""A certificate or request of a version that does not exist is as unreadable as any other nonsense, to every reader.

Found by `make fuzz`: cryptography's InvalidVersion is no ValueError.
"""

from __future__ import annotations

import base64
from pathlib import Path

import pytest
from cryptography import x509

from device_agent.session.trust import load_root, verify_station
from shared.errors import BirthmarkError
from shared.types import board_serial
from station.attestation.csr import examine_csr
from station.attestation.ek.vendor_certificate import VendorCertificate
from station.provisioning.offline import read_csr
from tests.harness.soft_device import SERIAL, csr, new_key
from tests.harness.vendor_lab import Vendor

VERSION_3 = bytes.fromhex("a003020102")
VERSION_121 = bytes.fromhex("a003020178")


def certificate() -> bytes:
    honest = Vendor().der
    assert honest.count(VERSION_3) == 1
    der = honest.replace(VERSION_3, VERSION_121)
    with pytest.raises(x509.InvalidVersion):
        x509.load_der_x509_certificate(der)
    return der


def request() -> bytes:
    honest = csr(new_key())
    return honest.replace(bytes.fromhex("020100"), bytes.fromhex("020178"), 1)


def test_of_a_tpm_vendor() -> None:
    with pytest.raises(BirthmarkError, match=r"attestation\.ek-malformed"):
        VendorCertificate.read(certificate())


def test_of_a_unit_on_the_cable_and_without_one() -> None:
    with pytest.raises(BirthmarkError, match=r"csr\.malformed"):
        examine_csr(request(), new_key().public_key(), board_serial(SERIAL))
    with pytest.raises(BirthmarkError, match=r"enrollment\.csr-malformed"):
        read_csr(base64.b64encode(request()))


def test_of_a_station(tmp_path: Path) -> None:
    with pytest.raises(BirthmarkError, match=r"trust\.station-untrusted"):
        verify_station((certificate(),), 0, b"signed", b"signature", None)
    (tmp_path / "root.der").write_bytes(certificate())
    with pytest.raises(BirthmarkError, match=r"trust\.root-unreadable"):
        load_root(tmp_path / "root.der")
