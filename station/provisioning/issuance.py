"""Builds the subject of every device certificate, for units on the cable and without one."""

from __future__ import annotations

import secrets

from cryptography.hazmat.primitives.asymmetric import ec

from shared import limits
from shared.types import BoardSerial, NucHash, TableId, key_index
from station.authority.birthmark_extensions import BirthmarkFacts, encrypt_nuc
from station.authority.profiles import DeviceSubject
from station.config import StationConfig
from station.secrets.key_tables import KeyTables


def device_subject(
    config: StationConfig,
    key_tables: KeyTables,
    tables: tuple[TableId, ...],
    *,
    serial: BoardSerial,
    key: ec.EllipticCurvePublicKey,
    hardware_serial: bytes,
    family: str,
    nuc_hash: NucHash,
    verified: bool = False,
) -> DeviceSubject:
    """Build the subject; with Birthmark's extensions, for a random one of `tables`, when they are configured."""
    facts = None
    if config.authority.birthmark_extensions:
        table = secrets.choice(tables)
        facts = BirthmarkFacts(
            authority_id=config.authority.authority_id,
            endpoint=config.certificate_endpoint,
            encrypted_nuc=encrypt_nuc(key_tables.master_key(table), nuc_hash),
            table=table,
            index=key_index(secrets.randbelow(limits.KEYS_PER_TABLE)),
            family=family,
        )
    return DeviceSubject(serial, key, hardware_serial, facts, verified)
