"""The facts of an EK certificate: vendor, model and version, as printable text."""

from __future__ import annotations

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID, ObjectIdentifier

from station.attestation.ek.tpm_facts import TpmFacts, facts_of
from station.attestation.ek.vendor_certificate import VendorCertificate
from tests.harness.vendor_lab import INFINEON, SWTPM, Attributes, Vendor, all_in_one_rdn, one_rdn_each

KEY = ec.generate_private_key(ec.SECP256R1()).public_key()
VENDOR = Vendor()
MANUFACTURER, MODEL, VERSION = (ObjectIdentifier(f"2.23.133.2.{arc}") for arc in (1, 2, 3))


def read(tpm: x509.Name | None) -> TpmFacts | None:
    return facts_of(
        VendorCertificate.read(VENDOR.ek(KEY, tpm=tpm, subject=one_rdn_each(((NameOID.COMMON_NAME, "EK"),))))
    )


def said(*attributes: tuple[ObjectIdentifier, str]) -> TpmFacts:
    facts = read(one_rdn_each(attributes))
    assert facts is not None
    return facts


@pytest.mark.parametrize("written", [one_rdn_each, all_in_one_rdn])
def test_vendor_model_and_version_are_read_however_the_name_is_built(written: object) -> None:
    assert callable(written)
    assert read(written(INFINEON)) == TpmFacts("id:49465800", "Infineon", "SLB9670", "id:0D0B")


@pytest.mark.parametrize(
    ("manufacturer", "name"),
    [
        ("id:53544D20", "STMicroelectronics"),  # padded with a space, as the registry writes it
        ("id:4e544300", "Nuvoton"),
        ("id:41424344", "ABCD"),
        ("id:00000000", "id:00000000"),
        ("id:3C623E00", "id:3C623E00"),
        ("id:494658", "id:494658"),
        ("Infineon", "Infineon"),
    ],
)
def test_a_vendor_is_named_by_its_id_or_else_the_id_is_shown(manufacturer: str, name: str) -> None:
    facts = said((MANUFACTURER, manufacturer))
    assert (facts.manufacturer, facts.manufacturer_name, facts.model, facts.version) == (manufacturer, name, "", "")


def test_only_vendor_and_model_together_make_a_simulator() -> None:
    simulator = said(*SWTPM)
    assert (simulator.is_swtpm, simulator.manufacturer_name) == (True, "swtpm")
    ibm: Attributes = ((MANUFACTURER, "id:00001014"), (MODEL, "another"))
    for other in (said(*ibm), said(*INFINEON[:1], (MODEL, "swtpm"))):
        assert not other.is_swtpm
        assert other.manufacturer_name != "swtpm"


def test_a_certificate_that_names_no_vendor_has_no_facts() -> None:
    assert read(None) is None
    assert read(one_rdn_each(((MODEL, "SLB9670"), (VERSION, "id:0D0B")))) is None


def test_hostile_text_is_cleaned_and_cut() -> None:
    facts = said((MANUFACTURER, "id:49465800"), (MODEL, "\x1b[2J\u202eSLB\n9670"), (VERSION, "v" * 500))
    assert facts.model == "[2J SLB 9670"
    assert len(facts.version) == 64
