"""Birthmark's six extensions: as its parser reads them, raw and not critical."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.x509.oid import NameOID

from shared.errors import BirthmarkError
from shared.types import MasterKey, NucHash, TableId, key_index
from station.authority import birthmark_extensions
from station.authority.birthmark_extensions import BirthmarkFacts
from station.provisioning.offline import ProvisionedUnit, ProvisioningRequest
from tests.harness.bare_station import NOW, BareStation, open_bare_station

NUC = "5d" * 32


async def provision(bare_station: BareStation, serial: str = "CAM-1") -> ProvisionedUnit:
    return await bare_station.offline_provisioner.provision(ProvisioningRequest(serial, "Test Camera", NUC), "test")


def leaf(provisioned: ProvisionedUnit) -> x509.Certificate:
    return x509.load_der_x509_certificate(provisioned.chain[0])


async def test_birthmarks_parser_finds_its_six_extensions(tmp_path: Path) -> None:
    async with open_bare_station(tmp_path) as bare_station:
        provisioned = await provision(bare_station)
        facts = birthmark_extensions.read(leaf(provisioned))
        assert facts is not None
        assert facts.authority_id == bare_station.config.authority.authority_id
        assert facts.endpoint == "http://127.0.0.1:8001/validate-cert"
        assert facts.family == "Test Camera"
        assert facts.table in provisioned.tables
        sealed, nonce = facts.encrypted_nuc[:48], facts.encrypted_nuc[48:]
        assert AESGCM(bare_station.tables.master_key(facts.table).secret()).decrypt(nonce, sealed, None).hex() == NUC


async def test_birthmarks_extensions_are_raw_bytes_and_not_critical(tmp_path: Path) -> None:
    async with open_bare_station(tmp_path) as bare_station:
        certificate = leaf(await provision(bare_station))
    held = {e.oid.dotted_string: e for e in certificate.extensions}
    family = held["1.3.6.1.4.1.60000.1.6"]
    assert isinstance(family.value, x509.UnrecognizedExtension)
    assert family.value.value == b"Test Camera"
    assert len(held["1.3.6.1.4.1.60000.1.4"].value.public_bytes()) == 2
    assert not any(held[f"1.3.6.1.4.1.60000.1.{number}"].critical for number in range(1, 7))


async def test_birthmarks_extensions_can_be_left_out(tmp_path: Path) -> None:
    async with open_bare_station(tmp_path, extensions=False) as bare_station:
        assert birthmark_extensions.read(leaf(await provision(bare_station))) is None


async def test_two_certificates_never_encrypt_the_nuc_hash_alike(tmp_path: Path) -> None:
    first, second = (birthmark_extensions.encrypt_nuc(MasterKey(b"k" * 32), NucHash(b"n" * 32)) for _ in range(2))
    assert first[48:] != second[48:]
    assert first[:32] != second[:32]


GOOD = BirthmarkFacts("MA_1", "https://ma.example/validate-cert", bytes(60), TableId(2499), key_index(999), "Camera")


@pytest.mark.parametrize(
    "facts",
    [
        BirthmarkFacts("", GOOD.endpoint, GOOD.encrypted_nuc, GOOD.table, GOOD.index, GOOD.family),
        BirthmarkFacts(GOOD.authority_id, "ftp://x", GOOD.encrypted_nuc, GOOD.table, GOOD.index, GOOD.family),
        BirthmarkFacts(GOOD.authority_id, GOOD.endpoint, bytes(59), GOOD.table, GOOD.index, GOOD.family),
        BirthmarkFacts(GOOD.authority_id, GOOD.endpoint, GOOD.encrypted_nuc, TableId(2500), GOOD.index, GOOD.family),
        BirthmarkFacts(GOOD.authority_id, GOOD.endpoint, GOOD.encrypted_nuc, GOOD.table, key_index(0), "x" * 256),
    ],
    ids=["no authority id", "no web address", "short NUC", "table 2500", "long family"],
)
def test_extensions_that_birthmarks_parser_refuses_are_refused(facts: BirthmarkFacts) -> None:
    assert birthmark_extensions.read(certificate_with(GOOD)) == GOOD
    with pytest.raises(BirthmarkError):
        birthmark_extensions.read(certificate_with(facts))


def certificate_with(facts: BirthmarkFacts) -> x509.Certificate:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "x")])
    now = dt.datetime.fromtimestamp(NOW, dt.UTC)
    builder = x509.CertificateBuilder(name, name, key.public_key(), 1, now, now + dt.timedelta(days=1))
    for extension in birthmark_extensions.extensions(facts):
        builder = builder.add_extension(extension, critical=False)
    return builder.sign(key, hashes.SHA256())
