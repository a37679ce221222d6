"""Writes a station's units, key tables and authority as the public SMA's data directory, whole or not at all.

The station keeps no NUC hash. It is in the unit's own certificate, encrypted under a master key (docs/decisions/0005);
of a unit whose certificate does not carry it, the public SMA can validate no token.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import os
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from runtime.clock import unix_time
from runtime.files import sync_directory, write_private
from runtime.owner import acting_as, owner_of
from shared.errors import BirthmarkError
from shared.types import NucHash
from shared.x509_profile import UNREADABLE_PARTS
from station.authority import birthmark_extensions
from station.authority.files import load_intermediate_key
from station.provisioning.offline import parse_nuc_hash
from station.registry import audit, queries
from station.registry.audit import Event
from station.registry.database import Connection
from station.registry.queries import PAGE_UNITS, Filter
from station.registry.records import Unit, UnitState
from station.secrets.blind_index import BlindIndex
from station.secrets.key_tables import KeyTables
from station.services import Services
from station.setup.import_sma.files import Device, Table
from station.setup.open import open_station

_DEVICE_SECRET: Final = x509.ObjectIdentifier("1.3.6.1.4.1.99999.1")
"""The extension in which a "phase 2" certificate has the device secret, as hexadecimal digits."""


class _Registry(msgspec.Struct, frozen=True):
    devices: list[Device]
    total_devices: int
    last_updated: str


class _Tables(msgspec.Struct, frozen=True):
    total_tables: int
    tables_per_device: int
    key_tables: list[Table]
    assigned_tables: dict[str, list[int]]


_NO_SUBMISSIONS: Final = b'{"total_submissions": 0, "last_updated": null, "submissions": []}'


@dataclass(frozen=True, slots=True)
class ExportResult:
    directory: Path
    units: int
    revoked: int
    """As blacklisted devices."""
    tables: int
    without_nuc_hash: tuple[str, ...]
    """Serial numbers of units whose tokens the public SMA cannot validate."""
    unconfirmed: int
    """Units that have not confirmed their certificate; they are not exported."""


@dataclass(frozen=True, slots=True, repr=False)
class _Collected:
    files: dict[str, bytes]
    devices: list[Device]
    tables: int
    unconfirmed: int


def export(data_dir: Path, target: Path) -> ExportResult:
    """Write the station in `data_dir` to the new directory `target`, 0700, with files of 0600, secrets in the clear.

    Root reads the station as its owner, and writes `target` as the owner of the directory that it lies in. Raises
    `data.*`, `config.invalid`, `authority.*`, `table.*`, `registry.*`, `export.exists` and `export.unwritable`; then
    leaves no `target`.
    """
    if os.path.lexists(target):
        raise BirthmarkError("export.exists", str(target))
    owner = owner_of(data_dir)
    with acting_as(owner):
        collected = asyncio.run(_collect(data_dir))
    with acting_as(owner_of(target)):
        made = _write(target, collected)
    try:
        with acting_as(owner):  # before the directory gets its name, so the log knows of every export
            asyncio.run(_record(data_dir, len(collected.devices)))
        with acting_as(owner_of(target)):
            made.rename(target)
            sync_directory(target.absolute().parent)
    except OSError as error:
        raise BirthmarkError("export.unwritable", f"{error.filename or target}: {error.strerror}") from error
    finally:
        with acting_as(owner_of(target)):
            shutil.rmtree(made, ignore_errors=True)
    return ExportResult(
        target,
        units=len(collected.devices),
        revoked=sum(device.is_blacklisted for device in collected.devices),
        tables=collected.tables,
        without_nuc_hash=tuple(device.device_serial for device in collected.devices if not device.device_secret),
        unconfirmed=collected.unconfirmed,
    )


def _write(target: Path, collected: _Collected) -> Path:
    """Write everything into a new directory beside `target`, which is to get its name."""
    made: Path | None = None
    try:
        target.absolute().parent.mkdir(parents=True, exist_ok=True)
        made = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.absolute().parent))  # 0700
        (made / "certs").mkdir(mode=0o700)
        for name, content in collected.files.items():
            write_private(made / name, content)
        for folder in (made / "certs", made):
            sync_directory(folder)
        return made
    except OSError as error:
        if made is not None:
            shutil.rmtree(made, ignore_errors=True)
        raise BirthmarkError("export.unwritable", f"{error.filename or target}: {error.strerror}") from error


async def _collect(data_dir: Path) -> _Collected:
    async with open_station(data_dir) as station:
        key = load_intermediate_key(data_dir, station.secret, station.authority.certificates.intermediate)
        async with station.database.read() as connection:
            devices, unconfirmed = await _devices(connection, station)
        files = _authority_files(station) | {
            "intermediate-ca.key": key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()),
            "device_registry.json": _json(_Registry(devices, len(devices), _time(unix_time(station.clock)))),
            "key_tables.json": _json(_tables(station.tables, devices)),
            "submissions.json": _NO_SUBMISSIONS,
        }
        return _Collected(files, devices, len(station.tables), unconfirmed)


async def _record(data_dir: Path, units: int) -> None:
    async with open_station(data_dir) as station, station.database.write() as connection:
        await audit.append(connection, unix_time(station.clock), Event.EXPORTED, "", format="sma", units=units)


def _authority_files(station: Services) -> dict[str, bytes]:
    certificates = station.authority.certificates
    named = {"root-ca.crt": certificates.root, "intermediate-ca.crt": certificates.intermediate}
    # Where the public SMA looks for the certificate of "phase 2"; it knows no other earlier one.
    places = ("certs/ca_certificate.pem", *(f"certs/earlier-{n}.pem" for n in range(2, 1000)))
    named |= dict(zip(places, certificates.earlier_intermediates, strict=False))
    return {name: certificate.public_bytes(Encoding.PEM) for name, certificate in named.items()}


async def _devices(connection: Connection, station: Services) -> tuple[list[Device], int]:
    """Return the provisioned and revoked units, the earliest first, and how many others have a certificate."""
    indices = await queries.nuc_blind_indices(connection)
    reader = _NucHashReader(station.tables, BlindIndex(station.secret))
    found: list[tuple[int, int, Device]] = []
    unconfirmed = 0
    cursor: str | None = ""
    while cursor is not None:
        page = await queries.page(connection, Filter(), limit=PAGE_UNITS, cursor=cursor)
        for unit in page.units:
            if unit.state is UnitState.ISSUED or unit.provisioned_at is None or unit.certificate is None:
                unconfirmed += 1
                continue
            found.append((unit.provisioned_at, unit.id, _device(unit, reader, indices.get(unit.id, b""))))
        cursor = page.cursor
    found.sort(key=lambda one: one[:2])
    return [device for _, _, device in found], unconfirmed


def _device(unit: Unit, reader: _NucHashReader, blind_index: bytes) -> Device:
    assert unit.certificate is not None  # noqa: S101 - `_devices` asks
    certificate = x509.load_der_x509_certificate(unit.certificate.der)
    secret, phase2 = reader.read(certificate, blind_index)
    text = secret.secret().hex() if secret else ""
    revoked = unit.state is UnitState.REVOKED
    return Device(
        device_serial=unit.serial,
        table_assignments=list(unit.tables),
        device_family=unit.family,
        provisioned_at=_time(unit.provisioned_at or 0),
        device_secret=text,
        key_table_indices=list(unit.tables) if phase2 else [],
        device_certificate=certificate.public_bytes(Encoding.PEM).decode(),
        device_public_key=certificate.public_key()
        .public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        .decode(),
        is_blacklisted=revoked,
        blacklisted_at=_time(unit.revoked_at or 0) if revoked else None,
        blacklist_reason=unit.revoked_reason if revoked else None,
        nuc_hash=None if phase2 else text or None,
    )


@dataclass(frozen=True, slots=True)
class _NucHashReader:
    """Finds what a unit's tokens encrypt in its certificate, and believes it only if the registry's index is its."""

    tables: KeyTables
    index: BlindIndex

    def read(self, certificate: x509.Certificate, blind_index: bytes) -> tuple[NucHash | None, bool]:
        """Return the NUC hash, or the device secret and True; None when the certificate has neither."""
        for found, phase2 in ((self._nuc_hash(certificate), False), (_device_secret(certificate), True)):
            if found is not None and self.index.of(found) == blind_index:
                return found, phase2
        return None, False

    def _nuc_hash(self, certificate: x509.Certificate) -> NucHash | None:
        try:
            facts = birthmark_extensions.read(certificate)
            if facts is None:
                return None
            return birthmark_extensions.decrypt_nuc(self.tables.master_key(facts.table), facts.encrypted_nuc)
        except (BirthmarkError, *UNREADABLE_PARTS):
            return None


def _device_secret(certificate: x509.Certificate) -> NucHash | None:
    try:
        value = certificate.extensions.get_extension_for_oid(_DEVICE_SECRET).value
        return parse_nuc_hash(value.public_bytes().decode("ascii"))
    except (x509.ExtensionNotFound, BirthmarkError, *UNREADABLE_PARTS):
        return None


def _tables(tables: KeyTables, devices: list[Device]) -> _Tables:
    keys = [Table(table, tables.master_key(table).secret().hex()) for table in tables.ids()]
    return _Tables(len(keys), 3, keys, {device.device_serial: device.table_assignments for device in devices})


def _json(value: object) -> bytes:
    return msgspec.json.format(msgspec.json.encode(value))


def _time(seconds: int) -> str:
    """UTC without a zone, and with microseconds, as the public SMA writes it."""
    return dt.datetime.fromtimestamp(seconds, dt.UTC).replace(tzinfo=None).isoformat(timespec="microseconds")
