"""The verifier accepts genuine certificates, though malformed, and refuses forged ones, though well-formed."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID, ObjectIdentifier

from device_agent.tpm import templates as agent_templates
from shared.errors import BirthmarkError
from station.attestation.ek.roots import EkRoots, load_ek_roots
from station.attestation.ek.templates import TEMPLATES
from station.attestation.ek.verification import EkTrust, EkVerdict, require_template, verify_ek
from station.attestation.tpm2.structures import PublicKey, read_public
from station.config import EkPolicy, EkTemplateName
from tests.harness.soft_device import Device
from tests.harness.vendor_lab import (
    EK_USAGE,
    INFINEON,
    NOW,
    RSA_MD5,
    RSA_SHA1,
    RSA_SHA256,
    SWTPM,
    Vendor,
    all_in_one_rdn,
    disordered,
    one_rdn_each,
    refused_by_strict_parser,
    signed,
    usage,
    with_algorithm,
    write_roots,
)

KEY = ec.generate_private_key(ec.SECP256R1()).public_key()
VENDOR = Vendor()
NUVOTON_LIKE = (
    (NameOID.COMMON_NAME, "Roughly TPM Root CA"),
    (NameOID.ORGANIZATION_NAME, "Roughly Corporation"),
    (NameOID.COUNTRY_NAME, "TW"),
)


@pytest.fixture
def roots(tmp_path: Path) -> EkRoots:
    return known(tmp_path, VENDOR)


def known(directory: Path, *vendors: Vendor) -> EkRoots:
    roots = load_ek_roots(write_roots(directory / "roots", *vendors))
    assert roots.problems == []
    return roots


def judged(der: bytes, roots: EkRoots, policy: EkPolicy = EkPolicy.REQUIRE, key: PublicKey = KEY) -> EkVerdict:
    return verify_ek(der, roots, policy, now=NOW, key=key)


def refusal(der: bytes, roots: EkRoots, policy: EkPolicy = EkPolicy.REQUIRE, key: PublicKey = KEY) -> BirthmarkError:
    with pytest.raises(BirthmarkError) as caught:
        judged(der, roots, policy, key)
    return caught.value


# --- genuine ones ---


def test_a_vendors_certificate_is_verified_and_its_vendor_and_model_are_named(roots: EkRoots) -> None:
    verdict = judged(VENDOR.ek(KEY), roots)
    assert verdict.trust is EkTrust.VERIFIED
    assert verdict.anchor == "CN=Vendor Root CA"
    assert verdict.reason == ""
    assert verdict.facts is not None
    assert (verdict.facts.manufacturer_name, verdict.facts.model, verdict.facts.version) == (
        "Infineon",
        "SLB9670",
        "id:0D0B",
    )


@pytest.mark.parametrize("padding", [b"\0" * 700, b"\xff" * 700])
def test_bytes_after_the_certificate_in_nv_are_padding(roots: EkRoots, padding: bytes) -> None:
    assert judged(VENDOR.ek(KEY) + padding, roots).trust is EkTrust.VERIFIED


def test_the_header_of_older_chips_before_the_certificate_is_skipped(roots: EkRoots) -> None:
    der = VENDOR.ek(KEY)
    assert judged(b"\x10\x01\x00" + len(der).to_bytes(2, "big") + der, roots).trust is EkTrust.VERIFIED


def test_a_name_out_of_order_which_strict_parsers_refuse_is_read(roots: EkRoots) -> None:
    der = VENDOR.ek(KEY, tpm=all_in_one_rdn(INFINEON), change=disordered(INFINEON))
    assert refused_by_strict_parser(der)
    verdict = judged(der, roots)
    assert verdict.trust is EkTrust.VERIFIED
    assert verdict.facts is not None
    assert verdict.facts.model == "SLB9670"


def test_an_issuer_that_strict_parsers_refuse_vouches_all_the_same(tmp_path: Path) -> None:
    rough = Vendor(all_in_one_rdn(NUVOTON_LIKE), path_length=0, change=disordered(NUVOTON_LIKE))
    assert refused_by_strict_parser(rough.der)
    verdict = judged(rough.ek(KEY), known(tmp_path, rough))
    assert verdict.trust is EkTrust.VERIFIED
    assert "Roughly TPM Root CA" in verdict.anchor


@pytest.mark.parametrize(
    "peculiar",
    [
        {"extended": None},
        {"constraints": x509.BasicConstraints(False, None)},
        {"key_usage": None},
        {"key_usage": usage(key_encipherment=True)},
        {"tpm": None},
        {"subject": x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "unknown")])},
        {"extended": (EK_USAGE, ExtendedKeyUsageOID.CLIENT_AUTH)},
        {"extensions": [(x509.UnrecognizedExtension(ObjectIdentifier("2.5.29.9"), b"\x30\x00"), True)]},
        {"extensions": [(x509.UnrecognizedExtension(ObjectIdentifier("1.3.6.1.4.1.9999.1"), b"rubbish"), False)]},
        {"change": lambda tbs: tbs.replace(b"\x0c\x07SLB9670", b"\x13\x07SLB@670")},
    ],
    ids=lambda p: next(iter(p)),
)
def test_vendors_peculiarities_are_accepted(roots: EkRoots, peculiar: dict[str, object]) -> None:
    assert judged(VENDOR.ek(KEY, **peculiar), roots).trust is EkTrust.VERIFIED  # type: ignore[arg-type]


def test_rsa_and_p384_keys_are_accepted(roots: EkRoots) -> None:
    for key in (ec.generate_private_key(ec.SECP384R1()), rsa.generate_private_key(65537, 2048)):
        der = VENDOR.ek(key.public_key(), key_usage=usage(key_encipherment=True))
        assert judged(der, roots, key=key.public_key()).trust is EkTrust.VERIFIED


def test_a_lifetime_that_has_ended_turns_no_genuine_one_away(roots: EkRoots) -> None:
    verdict = judged(VENDOR.ek(KEY, until=NOW - dt.timedelta(days=1)), roots)
    assert verdict.trust is EkTrust.VERIFIED
    assert "ended on 2026-11-23" in verdict.reason


def test_an_issuing_ca_without_its_root_is_an_anchor_and_with_it_the_root_is(tmp_path: Path) -> None:
    issuing = Vendor("Issuing CA 1", VENDOR)
    assert judged(issuing.ek(KEY), known(tmp_path / "one", issuing)).anchor == "CN=Issuing CA 1"
    assert judged(issuing.ek(KEY), known(tmp_path / "two", issuing, VENDOR)).anchor == "CN=Vendor Root CA"


def test_the_right_one_of_two_issuers_with_one_name_is_found(tmp_path: Path) -> None:
    first, second = Vendor("Twice"), Vendor("Twice")
    roots = known(tmp_path, first, second)
    assert judged(first.ek(KEY), roots).trust is judged(second.ek(KEY), roots).trust is EkTrust.VERIFIED


# --- forged ones ---


def test_another_units_genuine_certificate_is_refused_whatever_the_policy(roots: EkRoots) -> None:
    stolen = VENDOR.ek(ec.generate_private_key(ec.SECP256R1()).public_key())
    for policy in EkPolicy:
        assert refusal(stolen, roots, policy).code == "attestation.ek-other-key"


def test_a_self_signed_ek_certificate_is_refused(roots: EkRoots) -> None:
    private = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "EK")])
    forger = Vendor(name, key=private)
    der = forger.ek(private.public_key(), subject=name)
    assert refusal(der, roots, key=private.public_key()).code == "attestation.ek-self-signed"


def test_an_ek_certificate_of_a_ca_with_a_vendors_name_is_forged(roots: EkRoots) -> None:
    assert refusal(Vendor().ek(KEY), roots).code == "attestation.ek-forged"


def test_an_ek_certificate_of_an_unknown_vendor_is_untrusted(roots: EkRoots) -> None:
    assert refusal(Vendor("Somebody").ek(KEY), roots).code == "attestation.ek-untrusted"


def test_an_ek_certificate_of_an_unknown_intermediate_is_untrusted(roots: EkRoots) -> None:
    assert refusal(Vendor("Issuing CA 1", Vendor()).ek(KEY), roots).code == "attestation.ek-untrusted"


def test_a_bit_turned_anywhere_that_is_signed_is_noticed(roots: EkRoots) -> None:
    der = VENDOR.ek(KEY)
    accepted = []
    for at in range(0, len(der), 7):
        turned = bytearray(der)
        turned[at] ^= 1
        try:
            judged(bytes(turned), roots)
        except BirthmarkError:
            continue
        accepted.append(at)
    assert accepted == []


def test_a_signature_of_the_wrong_bytes_is_forged(roots: EkRoots) -> None:
    genuine = x509.load_der_x509_certificate(VENDOR.ek(KEY))
    other = ec.generate_private_key(ec.SECP256R1())
    assert refusal(signed(genuine.tbs_certificate_bytes, other), roots).code == "attestation.ek-forged"


@pytest.mark.parametrize(
    "wrong",
    [
        {"constraints": x509.BasicConstraints(True, None)},
        {"extended": (ExtendedKeyUsageOID.CLIENT_AUTH,)},
        {"extended": (x509.oid.ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE,)},
        {"key_usage": usage(key_agreement=True, key_cert_sign=True)},
        {"key_usage": usage(digital_signature=True)},
        {"extended": None, "tpm": None},
        {"extensions": [(x509.UnrecognizedExtension(ObjectIdentifier("1.2.3.4"), b"\x05\x00"), True)]},
    ],
    ids=["ca", "client", "any", "signs-certificates", "signs", "speaks-of-no-tpm", "unknown-critical"],
)
def test_a_vendors_certificate_for_another_purpose_is_no_ek_certificate(
    roots: EkRoots, wrong: dict[str, object]
) -> None:
    assert refusal(VENDOR.ek(KEY, **wrong), roots).code == "attestation.ek-not-an-ek"  # type: ignore[arg-type]


def test_an_issuer_may_not_be_an_ek_of_the_same_vendor(tmp_path: Path) -> None:
    """A TPM's owner cannot issue certificates with the TPM's key, even if its certificate is among the roots."""
    owner = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "TPM of mine")])
    directory = write_roots(tmp_path / "roots", VENDOR)
    (directory / "mine.der").write_bytes(VENDOR.ek(owner.public_key(), subject=name))
    roots = load_ek_roots(directory)
    assert roots.count == 1
    assert len(roots.problems) == 1
    assert refusal(Vendor(name, key=owner).ek(KEY), roots).code == "attestation.ek-untrusted"


def test_sha1_of_the_old_issuers_still_counts_and_md5_does_not(tmp_path: Path) -> None:
    key = rsa.generate_private_key(65537, 2048)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Old")])
    ca = (
        x509.CertificateBuilder(name, name, key.public_key(), 1, dt.datetime(2012, 1, 1), dt.datetime(2030, 1, 1))
        .add_extension(x509.BasicConstraints(True, None), True)
        .sign(key, hashes.SHA256())
    )
    directory = tmp_path / "old"
    directory.mkdir()
    (directory / "old.der").write_bytes(ca.public_bytes(Encoding.DER))
    leaf = x509.load_der_x509_certificate(VENDOR.ek(KEY))
    builder = x509.CertificateBuilder(
        name, x509.Name([]), KEY, 2, leaf.not_valid_before_utc, leaf.not_valid_after_utc, list(leaf.extensions)
    )
    tbs = builder.sign(key, hashes.SHA256()).tbs_certificate_bytes
    old = load_ek_roots(directory)
    for algorithm in (RSA_SHA256, RSA_SHA1):
        assert judged(signed(with_algorithm(tbs, algorithm), key, algorithm), old).trust is EkTrust.VERIFIED
    assert refusal(signed(with_algorithm(tbs, RSA_MD5), key, RSA_MD5), old).code == "attestation.ek-forged"


# --- what cannot be read ---


@pytest.mark.parametrize(
    "rubbish",
    [
        b"\0" * 1024,
        b"\xff" * 1024,
        b"\x30\x80\x00\x00",
        b"\x30\x84\xff\xff\xff\xff",
        b"\x30\x00",
        b"\x30\x82\xff\xff" + b"\0" * 0xFFFF,
        b"\x30\x82\x0f\xa0" + b"\x30\x82\x0f\x00" * 1000,
        b"-----BEGIN CERTIFICATE-----",
    ],
    ids=["zeros", "ones", "indefinite", "cut", "empty", "huge", "nested", "text"],
)
def test_rubbish_is_malformed_and_never_a_crash(roots: EkRoots, rubbish: bytes) -> None:
    assert refusal(rubbish, roots).code == "attestation.ek-malformed"
    assert judged(rubbish, roots, EkPolicy.RECORD).trust is EkTrust.UNVERIFIED


def test_a_key_of_another_kind_is_malformed(roots: EkRoots) -> None:
    der = VENDOR.ek(ed25519.Ed25519PrivateKey.generate().public_key())  # type: ignore[arg-type]
    assert refusal(der, roots).code == "attestation.ek-malformed"


# --- policies ---


def test_no_certificate_is_refused_unless_it_is_only_recorded(roots: EkRoots) -> None:
    for policy in (EkPolicy.REQUIRE, EkPolicy.SIMULATOR):
        assert refusal(b"", roots, policy).code == "attestation.ek-missing"
    verdict = judged(b"", roots, EkPolicy.RECORD)
    assert (verdict.trust, verdict.anchor, verdict.facts) == (EkTrust.UNVERIFIED, "", None)
    assert "no endorsement key certificate" in verdict.reason


def test_record_accepts_an_unknown_vendor_and_says_why_it_is_unverified(roots: EkRoots) -> None:
    verdict = judged(Vendor("Somebody").ek(KEY), roots, EkPolicy.RECORD)
    assert verdict.trust is EkTrust.UNVERIFIED
    assert "its issuer is CN=Somebody" in verdict.reason
    assert verdict.facts is not None
    assert judged(VENDOR.ek(KEY), roots, EkPolicy.RECORD).trust is EkTrust.VERIFIED


def test_a_simulators_certificate_is_accepted_and_marked_only_where_simulators_are(roots: EkRoots) -> None:
    on_the_spot = Vendor("swtpm-localca").ek(KEY, tpm=one_rdn_each(SWTPM))
    verdict = judged(on_the_spot, roots, EkPolicy.SIMULATOR)
    assert verdict.trust is EkTrust.SIMULATED
    assert verdict.facts is not None
    assert verdict.facts.manufacturer_name == "swtpm"
    assert refusal(on_the_spot, roots).code == "attestation.ek-untrusted"
    assert judged(on_the_spot, roots, EkPolicy.RECORD).trust is EkTrust.UNVERIFIED


def test_a_second_simulator_whose_ca_has_the_first_ones_name_is_accepted_too(tmp_path: Path) -> None:
    roots = known(tmp_path, Vendor("swtpm-localca"))
    other = Vendor("swtpm-localca").ek(KEY, tpm=one_rdn_each(SWTPM))
    assert judged(other, roots, EkPolicy.SIMULATOR).trust is EkTrust.SIMULATED


def test_the_simulator_policy_opens_no_door_for_those_who_claim_to_be_hardware(roots: EkRoots) -> None:
    assert refusal(Vendor("Somebody").ek(KEY), roots, EkPolicy.SIMULATOR).code == "attestation.ek-untrusted"
    assert refusal(Vendor().ek(KEY), roots, EkPolicy.SIMULATOR).code == "attestation.ek-forged"
    assert judged(VENDOR.ek(KEY), roots, EkPolicy.SIMULATOR).trust is EkTrust.VERIFIED
    ca = Vendor("swtpm-localca").ek(KEY, tpm=one_rdn_each(SWTPM), constraints=x509.BasicConstraints(True, None))
    assert refusal(ca, roots, EkPolicy.SIMULATOR).code == "attestation.ek-not-an-ek"


# --- the one template ---


def template_refused(verdict: EkVerdict, device: Device, wanted: EkTemplateName) -> str:
    try:
        require_template(verdict, read_public(device.ek.public), wanted)
    except BirthmarkError as error:
        return error.code
    return ""


def test_a_verified_tpm_must_show_the_key_of_the_stations_template(roots: EkRoots) -> None:
    device = Device()  # its EK is of L-2
    genuine = judged(VENDOR.ek(KEY), roots)
    assert template_refused(genuine, device, EkTemplateName.L_2) == ""
    for other in set(EkTemplateName) - {EkTemplateName.L_2}:
        assert template_refused(genuine, device, other) == "attestation.ek-other-template"


def test_simulators_and_tpms_that_nobody_vouches_for_show_any(roots: EkRoots) -> None:
    device = Device()
    simulators = Vendor("Simulators")
    swtpm = simulators.ek(KEY, tpm=one_rdn_each(SWTPM))
    for verdict in (
        judged(swtpm, roots, EkPolicy.SIMULATOR),
        judged(VENDOR.ek(KEY, tpm=one_rdn_each(SWTPM)), roots),
        judged(b"", roots, EkPolicy.RECORD),
        judged(simulators.ek(KEY), roots, EkPolicy.RECORD),
    ):
        assert template_refused(verdict, device, EkTemplateName.H_3) == ""


def test_every_template_that_a_station_may_ask_for_is_known_to_it_and_to_agents() -> None:
    names = {name.value for name in EkTemplateName}
    assert names == set(agent_templates.EK_TEMPLATES)
    assert names <= {template.name for template in TEMPLATES}
