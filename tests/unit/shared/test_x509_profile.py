"""What both ends take for unreadable, and by which identifiers they tell a station from a device.

A certificate or request of a version that does not exist is as unreadable as any other nonsense, to every reader. Found
by `make fuzz`: cryptography's InvalidVersion is no ValueError.
"""

from __future__ import annotations

import base64
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import Encoding

from device_agent.session.trust import verify_station
from device_agent.session.trusted_authority import load_root
from shared.errors import BirthmarkError
from shared.types import board_serial
from shared.x509_profile import (
    BIRTHMARK_ARC,
    EKU_STATION,
    HARDWARE_MODULE_NAME,
    TPM_HARDWARE_TYPE,
    UNREADABLE,
    VERIFIED_TPM_FIXED,
    VERIFIED_TPM_RESIDENCY,
    is_p256,
    whole,
)
from station.attestation.csr import examine_csr
from station.attestation.ek.vendor_certificate import VendorCertificate
from station.authority import profiles
from station.provisioning.offline import key_of_csr
from tests.harness.certificates import NOW, chain_of_trust
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


def test_a_tpm_vendors_is_refused() -> None:
    with pytest.raises(BirthmarkError, match=r"attestation\.ek-malformed"):
        VendorCertificate.read(certificate())


def test_a_units_request_is_refused_on_the_cable_and_without_one() -> None:
    with pytest.raises(BirthmarkError, match=r"csr\.malformed"):
        examine_csr(request(), new_key().public_key(), board_serial(SERIAL))
    with pytest.raises(BirthmarkError, match=r"provisioning\.csr-malformed"):
        key_of_csr(base64.b64encode(request()), board_serial(SERIAL))


def test_a_stations_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BirthmarkError, match=r"trust\.station-untrusted"):
        verify_station((certificate(),), 0, b"signed", b"signature", None)
    (tmp_path / "root.der").write_bytes(certificate())
    with pytest.raises(BirthmarkError, match=r"trust\.root-unreadable"):
        load_root(tmp_path / "root.der")


@pytest.mark.parametrize("der", [b"", b"\x30\x00", b"no certificate"])
def test_whatever_is_no_certificate_is_unreadable(der: bytes) -> None:
    for read in (x509.load_der_x509_certificate, x509.load_der_x509_csr, x509.load_pem_x509_certificate):
        with pytest.raises(UNREADABLE):
            read(der)


def test_only_a_stations_certificate_may_act_as_one() -> None:
    ours = chain_of_trust()
    station, device = (
        set(certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value)
        for certificate in (ours.station, ours.device)
    )
    assert EKU_STATION in station
    assert EKU_STATION not in device
    assert EKU_STATION.dotted_string.startswith(BIRTHMARK_ARC + ".")


def test_only_a_verified_devices_certificate_says_that_its_key_is_in_a_tpm() -> None:
    ours = chain_of_trust()
    subject = profiles.DeviceSubject(board_serial(SERIAL), new_key().public_key(), b"t" * 32, verified=True)
    builder = profiles.device("O", subject, 4711, NOW, 730, ours.intermediate, "http://127.0.0.1/crl")
    verified = builder.sign(ours.intermediate_key, hashes.SHA256())
    policies = verified.extensions.get_extension_for_class(x509.CertificatePolicies).value
    assert {policy.policy_identifier for policy in policies} == {VERIFIED_TPM_RESIDENCY, VERIFIED_TPM_FIXED}
    with pytest.raises(x509.ExtensionNotFound):
        ours.device.extensions.get_extension_for_class(x509.CertificatePolicies)


def test_a_device_is_named_by_its_hardware_module_of_the_kind_tpm() -> None:
    names = chain_of_trust().device.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    [module] = [name for name in names if isinstance(name, x509.OtherName)]
    assert module.type_id == HARDWARE_MODULE_NAME
    assert der_of(TPM_HARDWARE_TYPE) in module.value


def der_of(identifier: x509.ObjectIdentifier) -> bytes:
    """Its DER: the first two arcs in one octet, then each in base 128."""
    first, second, *arcs = map(int, identifier.dotted_string.split("."))
    octets = b""
    for arc in (first * 40 + second, *arcs):
        digits = [arc & 0x7F]
        while arc := arc >> 7:
            digits.append(0x80 | arc & 0x7F)
        octets += bytes(reversed(digits))
    return bytes([6, len(octets)]) + octets


def test_only_a_public_key_of_p256_is_one() -> None:
    assert is_p256(ec.generate_private_key(ec.SECP256R1()).public_key())
    assert not is_p256(ec.generate_private_key(ec.SECP384R1()).public_key())
    assert not is_p256(ed25519.Ed25519PrivateKey.generate().public_key())
    assert not is_p256(ec.generate_private_key(ec.SECP256R1()))


def test_a_certificate_is_whole_or_unreadable_before_it_is_believed() -> None:
    ours = chain_of_trust()
    assert whole(ours.device) is ours.device
    der = ours.device.public_bytes(Encoding.DER)
    of_another_curve = der.replace(bytes.fromhex("06082a8648ce3d030107"), bytes.fromhex("06082a8648ce3d03017f"))
    assert der != of_another_curve
    with pytest.raises(ValueError):
        whole(x509.load_der_x509_certificate(of_another_curve))
