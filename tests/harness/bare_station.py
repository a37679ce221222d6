"""A complete authority in a temporary directory for tests, without ports, page or command line."""

from __future__ import annotations

import datetime as dt
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from station.authority import files
from station.authority.files import Authority, RootKey
from station.config import AuthorityConfig, ProvisioningConfig, StationConfig
from station.events import Bus
from station.provisioning.issuance import Issuance
from station.provisioning.offline import OfflineProvisioner
from station.registry import database
from station.registry.database import Database
from station.registry.location import registry_url
from station.secrets import key_tables as keytables
from station.secrets.blind_index import BlindIndex
from station.secrets.key_tables import KeyTables
from station.secrets.station_secret import StationSecret
from station.validation.certificates import CertificateValidator
from station.validation.revocation_list import CurrentRevocationList
from station.validation.tokens import TokenValidator

NOW = 1_795_500_000
"""2026-11-24, in seconds since 1970."""


class Clock:
    """A clock that the test sets; returns seconds since 1970."""

    def __init__(self) -> None:
        self.now = float(NOW)

    def __call__(self) -> float:
        return self.now


@dataclass(frozen=True)
class BareStation:
    folder: Path
    config: StationConfig
    secret: StationSecret
    authority: Authority
    root_key: RootKey
    tables: KeyTables
    database: Database
    clock: Clock
    issuance: Issuance
    offline_provisioner: OfflineProvisioner
    crl: CurrentRevocationList
    tokens: TokenValidator
    certificates: CertificateValidator

    @property
    def nuc_blind_index(self) -> BlindIndex:
        return BlindIndex(self.secret)


@asynccontextmanager
async def open_bare_station(
    folder: Path, *, tables: int = 10, extensions: bool = True, station_made_keys: bool = True
) -> AsyncIterator[BareStation]:
    config = StationConfig(
        authority=AuthorityConfig(birthmark_extensions=extensions),
        provisioning=ProvisioningConfig(station_made_keys=station_made_keys),
    )
    clock, secret = Clock(), StationSecret.generate()
    begun = dt.datetime.fromtimestamp(NOW, dt.UTC)
    root_key = files.create(folder / "authority", config, secret, begun, "a passphrase for tests")
    authority = files.load(folder, config, secret)
    database.create(registry_url(folder))
    registry = Database(registry_url(folder), config.name)
    try:
        async with registry.write() as connection:
            await keytables.create(connection, secret, tables)
            key_tables = await keytables.load(connection, secret)
        issuance = Issuance(config, key_tables, authority.issuer, registry)
        yield BareStation(
            folder,
            config,
            secret,
            authority,
            root_key,
            key_tables,
            registry,
            clock,
            issuance,
            OfflineProvisioner(config, secret, issuance, key_tables, registry, Bus(), clock),
            CurrentRevocationList(authority.issuer, registry, clock),
            TokenValidator(secret, key_tables, registry),
            CertificateValidator(authority.certificates, registry, clock),
        )
    finally:
        await registry.close()
