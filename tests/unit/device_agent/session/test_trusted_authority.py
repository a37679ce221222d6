"""The authority a unit trusts, read from files of all kinds: one root, one intermediate of it, and nothing else."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID

from device_agent.session.trusted_authority import (
    TrustedAuthority,
    load_authority,
    load_intermediate,
    load_root,
    read_intermediate,
    read_root,
    usages,
)
from shared.errors import BirthmarkError
from shared.x509_profile import EKU_STATION
from tests.harness.certificates import OWN_USAGES, AuthorityChain, chain_of_trust


@pytest.fixture(scope="module")
def ours() -> AuthorityChain:
    return chain_of_trust()


def pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(Encoding.PEM)


def key_pem(ours: AuthorityChain) -> bytes:
    return ours.device_key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def refused(read: Callable[[], object], code: str, why: str) -> None:
    with pytest.raises(BirthmarkError) as caught:
        read()
    assert caught.value.code == code
    assert why in caught.value.detail


def test_only_one_self_signed_authority_is_a_root(ours: AuthorityChain) -> None:
    own = pem(ours.root)
    assert read_root(b"a comment\r\n" + own) == ours.root
    for data, why in (
        (own + own, "2 PEM blocks"),
        (own + key_pem(ours), "private key"),
        (key_pem(ours), "private key"),
        (pem(ours.intermediate), "another has signed it"),
        (pem(ours.device), "no authority"),
        (ours.root.public_bytes(Encoding.DER), "no PEM block"),
    ):
        refused(lambda: read_root(data), "trust.root-not-one", why)  # noqa: B023


def test_only_one_authority_that_the_root_issued_for_stations_and_devices_is_an_intermediate(
    ours: AuthorityChain,
) -> None:
    silent = chain_of_trust(under=ours, usages=None).intermediate
    for intermediate in (ours.intermediate, silent):
        assert read_intermediate(pem(intermediate), ours.root) == intermediate
    for data, why in (
        (pem(ours.intermediate) + pem(silent), "2 PEM blocks"),
        (pem(ours.intermediate) + key_pem(ours), "private key"),
        (pem(ours.root), "the root itself"),
        (pem(ours.station), "no authority"),
        (pem(chain_of_trust().intermediate), "the root has not issued it"),
        (pem(chain_of_trust(under=ours, usages=[EKU_STATION]).intermediate), "extended key usages"),
        (pem(chain_of_trust(under=ours, usages=[ExtendedKeyUsageOID.SERVER_AUTH]).intermediate), "extended key usages"),
        (b"", "no PEM block"),
        (b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "cannot be read"),
    ):
        refused(lambda: read_intermediate(data, ours.root), "trust.intermediate-not-one", why)  # noqa: B023


@pytest.mark.parametrize("encoding", [Encoding.PEM, Encoding.DER])
def test_a_certificate_is_loaded_in_either_form(ours: AuthorityChain, tmp_path: Path, encoding: Encoding) -> None:
    path = tmp_path / "certificate"
    path.write_bytes(ours.root.public_bytes(encoding))
    assert load_root(path) == load_intermediate(path) == ours.root


@pytest.mark.parametrize("data", [None, b"", b"-----BEGIN CERTIFICATE-----", b"\x30\x00"])
def test_what_cannot_be_loaded_is_told_by_name(tmp_path: Path, data: bytes | None) -> None:
    path = tmp_path / "certificate"
    if data is not None:
        path.write_bytes(data)
    refused(lambda: load_root(path), "trust.root-unreadable", str(path))
    refused(lambda: load_authority(path), "trust.root-unreadable", str(path))
    refused(lambda: load_intermediate(path), "trust.intermediate-unreadable", str(path))


def test_what_is_remembered_is_read_again(ours: AuthorityChain, tmp_path: Path) -> None:
    for authority in (TrustedAuthority(ours.root), TrustedAuthority(ours.root, ours.intermediate)):
        (tmp_path / "root.pem").write_bytes(authority.pem())
        assert load_authority(tmp_path / "root.pem") == authority
        assert load_root(tmp_path / "root.pem") == ours.root  # to OpenSSL, too, it is the root's file


def test_usages_are_those_named_or_none_and_unreadable_ones_allow_nothing(ours: AuthorityChain) -> None:
    assert usages(ours.intermediate) == frozenset(OWN_USAGES)
    assert usages(ours.root) is None
    usage, constraints = bytes.fromhex("0603551d25"), bytes.fromhex("0603551d13")
    twice = ours.intermediate.public_bytes(Encoding.DER).replace(usage, constraints)
    assert usages(x509.load_der_x509_certificate(twice)) == frozenset()
