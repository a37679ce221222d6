"""The certificates of an authority, as RFC 5280 and OpenSSL see them."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from shared.x509_profile import EKU_STATION
from station.provisioning.offline import ProvisionedUnit, ProvisioningRequest
from tests.harness import openssl
from tests.harness.bare_station import NOW, BareStation, open_bare_station

NUC = "5d" * 32


async def provision(bare_station: BareStation, serial: str = "CAM-1") -> ProvisionedUnit:
    return await bare_station.offline_provisioner.provision(ProvisioningRequest(serial, "Test Camera", NUC), "test")


def leaf(provisioned: ProvisionedUnit) -> x509.Certificate:
    return x509.load_der_x509_certificate(provisioned.chain[0])


def constraints(certificate: x509.Certificate) -> x509.BasicConstraints:
    return certificate.extensions.get_extension_for_class(x509.BasicConstraints).value


async def test_the_root_signs_itself_and_allows_one_level_below(tmp_path: Path) -> None:
    async with open_bare_station(tmp_path) as bare_station:
        root = bare_station.authority.certificates.root
        root.verify_directly_issued_by(root)
        assert constraints(root) == x509.BasicConstraints(ca=True, path_length=1)
        assert root.extensions.get_extension_for_class(x509.KeyUsage).value.crl_sign


async def test_the_intermediate_is_signed_by_the_root_and_allows_none_below(tmp_path: Path) -> None:
    async with open_bare_station(tmp_path) as bare_station:
        bare_station.authority.certificates.intermediate.verify_directly_issued_by(
            bare_station.authority.certificates.root
        )
        assert constraints(bare_station.authority.certificates.intermediate) == x509.BasicConstraints(
            ca=True, path_length=0
        )


async def test_the_intermediate_says_that_it_issues_for_stations_and_devices_alone(tmp_path: Path) -> None:
    async with open_bare_station(tmp_path) as bare_station:
        certificates = bare_station.authority.certificates
        usages = certificates.intermediate.extensions.get_extension_for_class(x509.ExtendedKeyUsage)
        assert list(usages.value) == [EKU_STATION, ExtendedKeyUsageOID.CLIENT_AUTH]
        assert not usages.critical
        with pytest.raises(x509.ExtensionNotFound):
            certificates.root.extensions.get_extension_for_class(x509.ExtendedKeyUsage)


async def test_a_device_certificate_names_its_unit_and_can_sign_but_not_issue(tmp_path: Path) -> None:
    async with open_bare_station(tmp_path) as bare_station:
        certificate = leaf(await provision(bare_station))
    certificate.verify_directly_issued_by(bare_station.authority.certificates.intermediate)
    assert certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value == "CAM-1"
    assert certificate.subject.get_attributes_for_oid(NameOID.SERIAL_NUMBER)[0].value == "CAM-1"
    assert not constraints(certificate).ca
    usage = certificate.extensions.get_extension_for_class(x509.KeyUsage).value
    assert (usage.digital_signature, usage.key_cert_sign, usage.crl_sign) == (True, False, False)
    purposes = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert ExtendedKeyUsageOID.CLIENT_AUTH in purposes
    assert EKU_STATION not in purposes
    assert certificate.not_valid_before_utc < dt.datetime.fromtimestamp(NOW, dt.UTC)


@pytest.mark.parametrize("extensions", [True, False])
async def test_openssl_accepts_the_chain_strictly(tmp_path: Path, extensions: bool) -> None:
    async with open_bare_station(tmp_path, extensions=extensions) as bare_station:
        provisioned = await provision(bare_station)
    answer = openssl.verify(tmp_path, provisioned.chain, "-attime", str(NOW), "-purpose", "sslclient")
    assert answer.returncode == 0, answer.stderr
    chain = bare_station.authority.identity.chain
    answer = openssl.verify(tmp_path, chain, "-attime", str(NOW), "-purpose", "any")
    assert answer.returncode == 0, answer.stderr


async def test_openssl_refuses_a_chain_of_another_authority(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    async with open_bare_station(tmp_path / "a") as one, open_bare_station(tmp_path / "b") as other:
        mine = await provision(one)
        foreign = (mine.chain[0], *(await provision(other)).chain[1:])
    assert openssl.verify(tmp_path, mine.chain, "-attime", str(NOW)).returncode == 0
    assert openssl.verify(tmp_path, foreign, "-attime", str(NOW)).returncode != 0
