"""The subject of a device certificate holds the given fields, and Birthmark's facts under one of the unit's tables."""

from __future__ import annotations

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from shared import limits
from shared.types import NucHash, TableId, board_serial
from station.authority.birthmark_extensions import BirthmarkFacts
from station.authority.profiles import DeviceSubject
from station.config import AuthorityConfig, StationConfig
from station.provisioning.issuance import device_subject
from station.secrets.key_tables import KeyTables

KEY = ec.generate_private_key(ec.SECP256R1()).public_key()
NUC = NucHash(bytes(range(32)))
TABLES = (TableId(2), TableId(5), TableId(9))
ALL_TABLES = KeyTables({TableId(number): bytes([number + 1]) * 32 for number in range(10)})


def subject(*, extensions: bool = True, verified: bool = False) -> DeviceSubject:
    config = StationConfig(
        authority=AuthorityConfig(
            authority_id="MAKER_7", public_url="https://ma.example/", birthmark_extensions=extensions
        )
    )
    return device_subject(
        config,
        ALL_TABLES,
        TABLES,
        serial=board_serial("CAM-1"),
        key=KEY,
        hardware_serial=b"h" * 32,
        family="Test Camera",
        nuc_hash=NUC,
        verified=verified,
    )


def facts() -> BirthmarkFacts:
    found = subject().facts
    assert found is not None
    return found


def test_the_subject_is_what_it_was_given() -> None:
    made = subject(extensions=False)
    assert (made.serial, made.key, made.hardware_serial, made.facts, made.verified) == (
        "CAM-1",
        KEY,
        b"h" * 32,
        None,
        False,
    )
    assert subject(verified=True).verified


def test_the_facts_name_the_authority_and_where_it_validates_certificates() -> None:
    found = facts()
    assert (found.authority_id, found.endpoint, found.family) == (
        "MAKER_7",
        "https://ma.example/validate-cert",
        "Test Camera",
    )


def test_the_nuc_hash_is_encrypted_under_the_master_key_of_the_table_that_is_named() -> None:
    found = facts()
    ciphertext, nonce = found.encrypted_nuc[:-12], found.encrypted_nuc[-12:]
    assert AESGCM(ALL_TABLES.master_key(found.table)).decrypt(nonce, ciphertext, None) == NUC.secret()


def test_every_table_of_the_unit_gets_its_turn_and_no_other() -> None:
    found = [facts() for _ in range(60)]
    assert {one.table for one in found} == set(TABLES), "of 60 random picks out of 3 tables one was never made"
    assert len({one.index for one in found}) > 1
    assert all(0 <= one.index < limits.KEYS_PER_TABLE for one in found)
    assert len({one.encrypted_nuc for one in found}) == 60
