"""Imports a public SMA: checks everything, then makes a station's data directory, completely or not at all."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from cryptography.x509.oid import NameOID

from runtime.clock import SYSTEM_CLOCK, Clock, unix_time, utc_now
from station.authority import files as authority_files
from station.authority.certificates import AuthorityCertificates
from station.authority.files import ExistingAuthority, RootKey
from station.config import AuthorityConfig, StationConfig, TablesConfig
from station.provisioning.issuance import signed_by
from station.registry import audit, reservations, revocation
from station.registry.audit import Event
from station.registry.database import Connection
from station.registry.records import Applicant, KeyHolder
from station.registry.revocation import RevocationCode
from station.secrets import key_tables
from station.secrets.blind_index import BlindIndex
from station.secrets.station_secret import StationSecret
from station.setup.import_sma import checks, files
from station.setup.import_sma.checks import CheckedUnit
from station.setup.import_sma.files import Files
from station.setup.init import InitResult, make_data_dir

PORT = "import"
"""The port that the registry records for imported units."""


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


def take_over(
    source: Path,
    directory: Path,
    name: str,
    authority: AuthorityConfig,
    *,
    force: bool,
    root_passphrase: str | None,
    clock: Clock = SYSTEM_CLOCK,
) -> ImportResult:
    """Make `directory` from the public SMA's data directory `source`, and leave `source` unchanged.

    The imported intermediate sets `authority.organization`. Raises `import.*`, `data.exists`, `data.unwritable` or
    `config.invalid`; then makes nothing.
    """
    found = files.read(source)
    checks.check_authority(found)
    keys = checks.check_tables(found.tables)
    checked = checks.check_units(found, keys)
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
            connection, unix_time(clock), Event.IMPORTED, "", units=len(checked), revoked=revoked, tables=len(keys)
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
    registered = {unit.serial for unit in checked}
    subjects = {certificate.subject for certificate in (found.intermediate, *found.earlier_intermediates)}
    return ImportResult(
        made,
        units=len(checked),
        revoked=revoked,
        tables=len(keys),
        unregistered=len(found.tables.assigned_tables.keys() - registered),
        foreign_names=sum(unit.certificate.issuer not in subjects for unit in checked),
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
    signed = signed_by(certificates.issuer_of(unit.certificate), unit.certificate)
    await reservations.take_over(connection, applicant, signed, unit.tables, unit.provisioned_at)
    if unit.blacklisted_at is not None:
        await revocation.revoke(
            connection, unit.serial, RevocationCode.HOLD, unit.blacklist_reason, unit.blacklisted_at
        )
