"""Imports a public SMA: checks everything, then makes a station's data directory, completely or not at all."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from runtime.clock import SYSTEM_CLOCK, Clock, unix_time, utc_now
from shared.errors import BirthmarkError
from station.authority import files as authority_files
from station.authority.certificates import AuthorityCertificates
from station.authority.files import ExistingAuthority, RootKey
from station.config import AuthorityConfig, StationConfig, TablesConfig
from station.provisioning.issuance import signed_by
from station.registry import audit, reservations, revocation
from station.registry.audit import Event
from station.registry.database import Connection
from station.registry.records import UNKNOWN_AUTHORITY, Applicant, KeyHolder, Signed
from station.registry.revocation import RevocationCode
from station.secrets import key_tables
from station.secrets.blind_index import BlindIndex
from station.secrets.station_secret import StationSecret
from station.setup.import_sma import checks, files
from station.setup.import_sma.checks import CheckedUnit, Refused
from station.setup.import_sma.files import Files
from station.setup.init import InitResult, make_data_dir

PORT = "import"
"""The port that the registry records for imported units."""


class UnusableDevicesError(BirthmarkError):
    """The devices that cannot be taken over, all of them, each with its reason."""

    def __init__(self, refused: tuple[Refused, ...], devices: int) -> None:
        super().__init__("import.devices-unusable", f"{len(refused)} of {devices}")
        self.refused = refused


@dataclass(frozen=True, slots=True)
class ImportResult:
    made: InitResult
    units: int
    revoked: int
    tables: int
    unregistered: int
    """Serial numbers with tables but no registration, left by failed attempts; not imported."""
    foreign_names: int
    """Certificates whose issuer name is not their issuer's subject: valid here; `openssl verify` refuses them."""
    unknown_authority: int
    """Units whose certificate another authority signed: valid for tokens, never for `/validate-cert`."""
    other_tables: int
    """Units whose certificate shows that their tables had other master keys: their tokens fail."""
    left_out: tuple[Refused, ...]
    """Devices that were not taken over."""


def take_over(
    source: Path,
    directory: Path,
    name: str,
    authority: AuthorityConfig,
    *,
    force: bool,
    root_passphrase: str | None,
    leave_out: Collection[str] = (),
    skip_unusable: bool = False,
    keep_unknown_authority: bool = False,
    clock: Clock = SYSTEM_CLOCK,
) -> ImportResult:
    """Make `directory` from the public SMA's data directory `source`, and leave `source` unchanged.

    The imported intermediate sets `authority.organization`. Leaves out the devices with the serial numbers
    `leave_out` and, with `skip_unusable`, all that fail a check; see `checks.check_units`. Raises
    UnusableDevicesError, `import.*`, `data.exists`, `data.unwritable` or `config.invalid`; then makes nothing.
    """
    found = files.read(source)
    checks.check_authority(found)
    keys = checks.check_tables(found.tables)
    sorted_out = checks.check_units(found, keys, leave_out=leave_out, keep_unknown_authority=keep_unknown_authority)
    if sorted_out.refused and not skip_unusable:
        raise UnusableDevicesError(sorted_out.refused, len(found.devices))
    checked, left_out = sorted_out.accepted, sorted_out.left_out + sorted_out.refused
    config = StationConfig(
        name=name, authority=_imported_config(authority, found), tables=TablesConfig(count=len(keys))
    )
    certificates = AuthorityCertificates(found.root, found.intermediate, found.earlier_intermediates)
    revoked = sum(unit.blacklisted_at is not None for unit in checked)

    def fill_authority(folder: Path, secret: StationSecret) -> RootKey | None:
        existing = ExistingAuthority(certificates, found.intermediate_key)
        authority_files.write_existing(folder, config, secret, utc_now(clock), existing)
        return authority_files.encrypt_root_key(found.root_key, root_passphrase) if found.root_key else None

    async def fill_registry(connection: Connection, secret: StationSecret) -> None:
        await key_tables.store(connection, secret, keys)
        index = BlindIndex(secret)
        for unit in checked:
            await _add_unit(connection, unit, index, config.name, certificates)
        await audit.append(
            connection,
            unix_time(clock),
            Event.IMPORTED,
            "",
            units=len(checked),
            revoked=revoked,
            tables=len(keys),
            left_out=[one.name for one in left_out],
        )

    made = make_data_dir(
        directory,
        config,
        fill_authority,
        fill_registry,
        force=force,
        given_passphrase=bool(root_passphrase),
        ek_roots=None,
        clock=clock,
    )
    registered = {row.name for row in found.devices}
    subjects = {certificate.subject for certificate in (found.intermediate, *found.earlier_intermediates)}
    return ImportResult(
        made,
        units=len(checked),
        revoked=revoked,
        tables=len(keys),
        unregistered=len(found.tables.assigned_tables.keys() - registered),
        foreign_names=sum(unit.known_authority and unit.certificate.issuer not in subjects for unit in checked),
        unknown_authority=sum(not unit.known_authority for unit in checked),
        other_tables=sum(unit.other_tables for unit in checked),
        left_out=left_out,
    )


def _imported_config(authority: AuthorityConfig, found: Files) -> AuthorityConfig:
    organizations = found.intermediate.subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)
    return AuthorityConfig(
        organization=str(organizations[0].value) if organizations else authority.organization,
        authority_id=authority.authority_id,
        public_url=authority.public_url,
        device_days=authority.device_days,
        birthmark_extensions=authority.birthmark_extensions,
    )


async def _add_unit(
    connection: Connection, unit: CheckedUnit, index: BlindIndex, station: str, certificates: AuthorityCertificates
) -> None:
    applicant = Applicant(
        serial=unit.serial,
        key_holder=KeyHolder.STATION,
        family=unit.family,
        station=station,
        port=PORT,
        device_fingerprint=unit.fingerprint,
        nuc_blind_index=index.of(unit.nuc_hash),
    )
    if unit.known_authority:
        signed = signed_by(certificates.issuer_of(unit.certificate), unit.certificate)
    else:
        signed = _signed_elsewhere(unit.certificate)
    await reservations.take_over(connection, applicant, signed, unit.tables, unit.provisioned_at)
    if unit.blacklisted_at is not None:
        await revocation.revoke(
            connection, unit.serial, RevocationCode.HOLD, unit.blacklist_reason, unit.blacklisted_at
        )


def _signed_elsewhere(certificate: x509.Certificate) -> Signed:
    return Signed(
        certificate.public_bytes(Encoding.DER),
        certificate.serial_number,
        UNKNOWN_AUTHORITY,
        int(certificate.not_valid_after_utc.timestamp()),
    )
