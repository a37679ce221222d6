"""Checks the public SMA's files against each other before the import.

The public SMA's code allows duplicates, units whose tables do not exist, and certificates of another authority. The
checks guess nothing and stop at no bad device: each that cannot be taken over is named, with the reason.
"""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Callable, Collection, Hashable
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
from shared.x509_profile import UNREADABLE_PARTS
from station.authority import birthmark_extensions
from station.provisioning.offline import FAMILY_CHARACTERS, parse_nuc_hash
from station.secrets.blind_index import key_fingerprint
from station.setup.import_sma.files import Device, Files, Row, Tables

_NO_REASON: Final = "blacklisted"
_LEFT_OUT: Final = "left out, as asked"
_NO_TIME: Final = "a time is not in the years 1970 to 9998"


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
    known_authority: bool
    """Whether an authority in the directory signed its certificate."""
    other_tables: bool
    """Whether its certificate shows that its tables had other master keys, so that its tokens do not fit these."""


@dataclass(frozen=True, slots=True)
class Refused:
    """A device that is not taken over."""

    name: str
    reason: str
    unknown_authority: bool = False
    """Whether the reason is only that no authority in the directory signed its certificate."""


@dataclass(frozen=True, slots=True, repr=False)
class CheckedUnits:
    accepted: tuple[CheckedUnit, ...]
    """In the file's order."""
    left_out: tuple[Refused, ...]
    """Those that were to be left out."""
    refused: tuple[Refused, ...]
    """Those that fail a check."""


class _UnusableError(Exception):
    """Why a device cannot be taken over. Quotes no secret."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


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


def check_units(
    files: Files,
    keys: dict[TableId, MasterKey],
    *,
    leave_out: Collection[str] = (),
    keep_unknown_authority: bool = False,
) -> CheckedUnits:
    """Check every device, except those whose serial numbers are in `leave_out`.

    With `keep_unknown_authority`, accepts those whose certificate was signed by no authority in the directory. Raises
    `import.no-such-device` for a serial number in `leave_out` that none has.
    """
    issuers = [
        key
        for c in (files.intermediate, *files.earlier_intermediates)
        if isinstance(key := c.public_key(), ec.EllipticCurvePublicKey)
    ]
    unwanted = {serial_key(serial): serial for serial in leave_out}
    if missing := unwanted.keys() - {serial_key(row.name) for row in files.devices}:
        raise BirthmarkError("import.no-such-device", printable(", ".join(unwanted[key] for key in sorted(missing))))
    left_out, refused, accepted = [], [], []
    for row in files.devices:
        if serial_key(row.name) in unwanted:
            left_out.append(Refused(row.name, _LEFT_OUT))
            continue
        try:
            unit = _check_unit(row, files.tables, keys, issuers)
            if not unit.known_authority and not keep_unknown_authority:
                reason = "its certificate was not signed by an authority in the directory"
                refused.append(Refused(row.name, reason, unknown_authority=True))
            else:
                accepted.append(unit)
        except _UnusableError as error:
            refused.append(Refused(row.name, error.reason))
    for what, value in _UNIQUE.items():
        accepted = _refuse_ambiguous(accepted, refused, what, value)
    return CheckedUnits(tuple(accepted), tuple(left_out), tuple(refused))


_UNIQUE: Final[dict[str, Callable[[CheckedUnit], Hashable]]] = {
    "serial number": lambda unit: serial_key(unit.serial),
    "NUC hash or device secret": lambda unit: unit.nuc_hash,
    "device key": lambda unit: unit.fingerprint,
    "serial number in its certificate": lambda unit: unit.certificate.serial_number,
}


def _refuse_ambiguous(
    units: list[CheckedUnit], refused: list[Refused], what: str, value: Callable[[CheckedUnit], Hashable]
) -> list[CheckedUnit]:
    """Refuse every unit that shares the value with another: nothing tells which is the true one. Returns the rest."""
    counts = Counter(value(unit) for unit in units)
    shared: dict[Hashable, list[BoardSerial]] = {}
    for unit in units:
        if counts[value(unit)] > 1:
            shared.setdefault(value(unit), []).append(unit.serial)
    for serials in shared.values():
        for number, serial in enumerate(serials):
            other = serials[1 if number == 0 else 0]
            refused.append(Refused(serial, f"it has the same {what} as {other}"))
    return [unit for unit in units if counts[value(unit)] == 1]


def _check_unit(
    row: Row, tables: Tables, keys: dict[TableId, MasterKey], issuers: list[ec.EllipticCurvePublicKey]
) -> CheckedUnit:
    device = row.device
    if device is None:
        raise _UnusableError(row.problem)
    try:
        serial = board_serial(device.device_serial)
    except BirthmarkError as error:
        raise _UnusableError(error.kind.sentence) from None
    family = device.device_family
    if not family or printable(family, FAMILY_CHARACTERS) != family:
        raise _UnusableError(f"its family is not 1 to {FAMILY_CHARACTERS} printable characters")
    held = device.table_assignments
    if len(held) != limits.TABLES_PER_UNIT or len(set(held)) != len(held) or not set(held) <= set(keys):
        raise _UnusableError("its tables are not three different ones of key_tables.json")
    for other in (device.key_table_indices, tables.assigned_tables.get(serial)):
        if other and sorted(other) != sorted(held):
            raise _UnusableError("the registry and the key tables disagree on its tables")
    nuc_hash = _nuc_hash(device)
    certificate, key = _certificate(device)
    return CheckedUnit(
        serial,
        family,
        nuc_hash,
        tuple(sorted(table_id(table) for table in held)),
        certificate,
        key_fingerprint(key),
        _parse_time(device.provisioned_at),
        _parse_time(device.blacklisted_at or device.provisioned_at) if device.is_blacklisted else None,
        printable(device.blacklist_reason or "") or _NO_REASON,
        any(_is_signed_by(issuer, certificate) for issuer in issuers),
        _has_other_tables(certificate, keys, nuc_hash),
    )


def _nuc_hash(device: Device) -> NucHash:
    """What the unit's tokens encrypt: the NUC hash, or for "phase 2" the device secret in its place."""
    try:
        return parse_nuc_hash(device.nuc_hash or device.device_secret)
    except BirthmarkError:
        raise _UnusableError("it has no NUC hash or device secret of 64 hexadecimal digits") from None


def _certificate(device: Device) -> tuple[x509.Certificate, ec.EllipticCurvePublicKey]:
    try:
        certificate = x509.load_pem_x509_certificate(device.device_certificate.encode())
        key = certificate.public_key()
        same = not device.device_public_key or load_pem_public_key(device.device_public_key.encode()) == key
        sound = 0 < certificate.serial_number < 2**160 and certificate.not_valid_after_utc.year > 1970
    except UNREADABLE_PARTS:
        raise _UnusableError("its certificate or public key cannot be read") from None
    if not sound:
        raise _UnusableError("its certificate has a serial number or an end that RFC 5280 does not allow")
    if not isinstance(key, ec.EllipticCurvePublicKey) or not same:
        raise _UnusableError("its public key is not its certificate's, or not an EC key")
    return certificate, key


def _is_signed_by(issuer: ec.EllipticCurvePublicKey, certificate: x509.Certificate) -> bool:
    try:
        issuer.verify(certificate.signature, certificate.tbs_certificate_bytes, ec.ECDSA(hashes.SHA256()))
    except InvalidSignature:
        return False
    return True


def _has_other_tables(certificate: x509.Certificate, keys: dict[TableId, MasterKey], nuc_hash: NucHash) -> bool:
    """Whether the NUC hash in the certificate, where it has one, is not what these tables' keys decrypt."""
    try:
        facts = birthmark_extensions.read(certificate)
    except (BirthmarkError, *UNREADABLE_PARTS):
        return False
    if facts is None:
        return False
    master_key = keys.get(facts.table)
    return master_key is None or birthmark_extensions.decrypt_nuc(master_key, facts.encrypted_nuc) != nuc_hash


def _parse_time(text: str) -> int:
    """Parse an ISO 8601 time, UTC if it names no zone. Returns seconds since 1970."""
    try:
        moment = dt.datetime.fromisoformat(text)
        moment = (moment if moment.tzinfo else moment.replace(tzinfo=dt.UTC)).astimezone(dt.UTC)
    except ValueError:
        raise _UnusableError("a time is not in ISO 8601") from None
    except OverflowError:
        raise _UnusableError(_NO_TIME) from None
    if not 1970 <= moment.year < 9999:  # what can be told in every time zone
        raise _UnusableError(_NO_TIME)
    return int(moment.timestamp())


def _refuse(detail: str) -> NoReturn:
    raise BirthmarkError("import.inconsistent", detail)
