"""Checks the public SMA's files against each other before the import.

Errors name the serial number. The public SMA's code allows duplicates, units whose tables do not exist, and
certificates of another authority. The import guesses nothing and leaves nothing out: the operator corrects a copy.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Final, NoReturn

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from shared import limits
from shared.birthmark.derivation import token_key
from shared.errors import BirthmarkError
from shared.text import printable
from shared.types import (
    SECRET_BYTES,
    BoardSerial,
    MasterKey,
    NucHash,
    TableId,
    board_serial,
    key_index,
    serial_key,
    table_id,
)
from shared.x509_profile import UNREADABLE
from station.provisioning.offline import FAMILY_CHARACTERS, parse_nuc_hash
from station.secrets.blind_index import key_fingerprint
from station.setup.import_sma.files import Device, Files, Tables

_NO_REASON: Final = "blacklisted"


@dataclass(frozen=True, slots=True, repr=False)
class CheckedUnit:
    serial: BoardSerial
    family: str
    nuc_hash: NucHash
    tables: tuple[TableId, ...]
    certificate: x509.Certificate
    fingerprint: bytes
    provisioned_at: int
    blacklisted_at: int | None
    blacklist_reason: str


def check_authority(files: Files) -> None:
    """Check that keys match their certificates and that the chain is valid. Raises `import.inconsistent`."""
    if files.intermediate_key.public_key() != files.intermediate.public_key():
        _refuse("intermediate-ca.key is not the key of intermediate-ca.crt")
    if files.root_key is not None and files.root_key.public_key() != files.root.public_key():
        _refuse("root-ca.key is not the key of root-ca.crt")
    try:
        files.intermediate.verify_directly_issued_by(files.root)
        files.intermediate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier)
        usage = files.intermediate.extensions.get_extension_for_class(x509.KeyUsage).value
    except (ValueError, TypeError, InvalidSignature):
        _refuse("intermediate-ca.crt was not issued by root-ca.crt")
    except x509.ExtensionNotFound:
        _refuse("intermediate-ca.crt lacks a key usage or a subject key identifier")
    if not (usage.key_cert_sign and usage.crl_sign):
        _refuse("intermediate-ca.crt may not sign certificates and revocation lists")


def check_tables(tables: Tables) -> dict[TableId, MasterKey]:
    """Return the master keys. Raises `import.inconsistent`, also when a stored derived key does not match."""
    keys: dict[TableId, MasterKey] = {}
    for table in tables.key_tables:
        if not 0 <= table.table_id < limits.TABLE_COUNT_MAX or table.table_id in keys:
            _refuse(f"key table {table.table_id} is out of range or there twice")
        keys[table_id(table.table_id)] = _master_key(table.table_id, table.master_key)
    if len(keys) != tables.total_tables or len(keys) < limits.TABLE_COUNT_MIN:
        _refuse(f"key_tables.json has {len(keys)} tables and says {tables.total_tables}; at least 3 are needed")
    for name, derived in tables.derived_keys.items():
        for index, key in derived.items():
            if not _is_derived_key(keys, name, index, key):
                _refuse(f"a derived key of table {printable(name, 8)} is not what its master key derives")
    return keys


def _master_key(table: int, text: str) -> MasterKey:
    try:
        return MasterKey(bytes.fromhex(text))
    except (ValueError, BirthmarkError):
        _refuse(f"the master key of table {table} is not {SECRET_BYTES} bytes in hexadecimal")


def _is_derived_key(keys: dict[TableId, MasterKey], table: str, index: str, key: str) -> bool:
    try:
        return token_key(keys[table_id(int(table))], key_index(int(index))).secret().hex() == key.lower()
    except (ValueError, KeyError, BirthmarkError):
        return False


def check_units(files: Files, keys: dict[TableId, MasterKey]) -> list[CheckedUnit]:
    """Return every unit, in the file's order. Raises `import.inconsistent` for the first one that fails a check."""
    issuers = [
        key
        for c in (files.intermediate, *files.earlier_intermediates)
        if isinstance(key := c.public_key(), ec.EllipticCurvePublicKey)
    ]
    units = [_check_unit(number, device, files.tables, keys, issuers) for number, device in enumerate(files.devices, 1)]
    _require_unique(units, "serial number", lambda unit: serial_key(unit.serial))
    _require_unique(units, "NUC hash or device secret", lambda unit: unit.nuc_hash)
    _require_unique(units, "device key", lambda unit: unit.fingerprint)
    return units


def _check_unit(
    number: int,
    device: Device,
    tables: Tables,
    keys: dict[TableId, MasterKey],
    issuers: list[ec.EllipticCurvePublicKey],
) -> CheckedUnit:
    try:
        serial = board_serial(device.device_serial)
    except BirthmarkError as error:
        _refuse(f"unit {number}: {error.kind.sentence}")
    family = device.device_family
    if not family or printable(family, FAMILY_CHARACTERS) != family:
        _refuse(f"{serial}: its family is not 1 to {FAMILY_CHARACTERS} printable characters")
    held = device.table_assignments
    if len(held) != limits.TABLES_PER_UNIT or len(set(held)) != len(held) or not set(held) <= set(keys):
        _refuse(f"{serial}: its tables are not three different ones of key_tables.json")
    for other in (device.key_table_indices, tables.assigned_tables.get(serial)):
        if other and sorted(other) != sorted(held):
            _refuse(f"{serial}: the registry and the key tables disagree on its tables")
    certificate, key = _certificate(serial, device, issuers)
    return CheckedUnit(
        serial,
        family,
        _nuc_hash(serial, device),
        tuple(sorted(table_id(table) for table in held)),
        certificate,
        key_fingerprint(key),
        _parse_time(serial, device.provisioned_at),
        _parse_time(serial, device.blacklisted_at or device.provisioned_at) if device.is_blacklisted else None,
        printable(device.blacklist_reason or "") or _NO_REASON,
    )


def _nuc_hash(serial: BoardSerial, device: Device) -> NucHash:
    """What the unit's tokens encrypt: the NUC hash, or for "phase 2" the device secret in its place."""
    try:
        return parse_nuc_hash(device.nuc_hash or device.device_secret)
    except BirthmarkError:
        _refuse(f"{serial}: it has no NUC hash or device secret of 64 hexadecimal digits")


def _certificate(
    serial: BoardSerial, device: Device, issuers: list[ec.EllipticCurvePublicKey]
) -> tuple[x509.Certificate, ec.EllipticCurvePublicKey]:
    try:
        certificate = x509.load_pem_x509_certificate(device.device_certificate.encode())
        key = certificate.public_key()
        same = not device.device_public_key or load_pem_public_key(device.device_public_key.encode()) == key
    except (*UNREADABLE, TypeError):
        _refuse(f"{serial}: its certificate or public key cannot be read")
    if not isinstance(key, ec.EllipticCurvePublicKey) or not same:
        _refuse(f"{serial}: its public key is not its certificate's, or not an EC key")
    if not any(_is_signed_by(issuer, certificate) for issuer in issuers):
        _refuse(f"{serial}: its certificate was not signed by an authority in the directory")
    return certificate, key


def _is_signed_by(issuer: ec.EllipticCurvePublicKey, certificate: x509.Certificate) -> bool:
    try:
        issuer.verify(certificate.signature, certificate.tbs_certificate_bytes, ec.ECDSA(hashes.SHA256()))
    except InvalidSignature:
        return False
    return True


def _parse_time(serial: BoardSerial, text: str) -> int:
    """Parse an ISO 8601 time, UTC if it names no zone. Returns seconds since 1970."""
    try:
        moment = dt.datetime.fromisoformat(text)
        return int((moment if moment.tzinfo else moment.replace(tzinfo=dt.UTC)).timestamp())
    except (ValueError, OverflowError):
        _refuse(f"{serial}: a time is not in ISO 8601")


def _require_unique(units: list[CheckedUnit], what: str, value: Callable[[CheckedUnit], Hashable]) -> None:
    seen: dict[Hashable, BoardSerial] = {}
    for unit in units:
        if (other := seen.get(value(unit))) is not None:
            _refuse(f"{other} and {unit.serial} have the same {what}")
        seen[value(unit)] = unit.serial


def _refuse(detail: str) -> NoReturn:
    raise BirthmarkError("import.inconsistent", detail)
