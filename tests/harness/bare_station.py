"""A complete authority in a temporary directory for tests, without ports, page or command line."""

from __future__ import annotations

import datetime as dt
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

from station.attestation.ek.vendor_directory import VendorsDirectory
from station.authority import files
from station.authority.files import Authority, RootKey
from station.config import AuthorityConfig, EkPolicy, ProvisioningConfig, StationConfig, TablesConfig
from station.registry import database
from station.registry.database import Database
from station.registry.location import registry_url
from station.secrets import key_tables
from station.secrets.blind_index import BlindIndex
from station.secrets.key_tables import KeyTables
from station.secrets.station_secret import StationSecret
from station.services import Services

NOW = 1_795_500_000
"""2026-11-24, in seconds since 1970."""


class Clock:
    """A clock that the test sets; returns seconds since 1970."""

    def __init__(self, now: float = NOW) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


class BareStation(Services):
    """A station whose clock the test sets, and whose root key it has."""

    def __init__(
        self,
        folder: Path,
        config: StationConfig,
        policy: EkPolicy,
        secret: StationSecret,
        root_key: RootKey,
        tables: KeyTables,
        database: Database,
        clock: Clock,
    ) -> None:
        super().__init__(
            folder,
            config,
            policy,
            vendors=VendorsDirectory(config.ek_roots(folder)),
            secret=secret,
            authority=files.load(folder, config, secret),
            tables=tables,
            database=database,
            clock=clock,
        )
        self.clock: Clock = clock
        self.root_key: Final = root_key

    @property
    def nuc_blind_index(self) -> BlindIndex:
        return BlindIndex(self.secret)


def with_other(station: Services, *, database: Database | None = None, authority: Authority | None = None) -> Services:
    """Return this station with another registry or authority."""
    return Services(
        station.data_dir,
        station.config,
        station.policy,
        vendors=station.vendors,
        secret=station.secret,
        authority=authority or station.authority,
        tables=station.tables,
        database=database or station.database,
        bus=station.bus,
        clock=station.clock,
    )


@asynccontextmanager
async def open_bare_station(
    folder: Path,
    *,
    tables: int = 10,
    extensions: bool = True,
    station_made_keys: bool = True,
    config: StationConfig | None = None,
    policy: EkPolicy = EkPolicy.REQUIRE,
    now: float = NOW,
) -> AsyncIterator[BareStation]:
    """Make a station in an empty folder at `now`, and open it. `config` replaces the three settings before it."""
    config = config or StationConfig(
        authority=AuthorityConfig(birthmark_extensions=extensions),
        provisioning=ProvisioningConfig(station_made_keys=station_made_keys),
        tables=TablesConfig(count=tables),
    )
    secret = StationSecret.generate()
    begun = dt.datetime.fromtimestamp(now, dt.UTC)
    root_key = files.create(folder / "authority", config, secret, begun, "a passphrase for tests")
    database.create(registry_url(folder))
    registry = Database(registry_url(folder), config.name)
    try:
        async with registry.write() as connection:
            await key_tables.create(connection, secret, config.tables.count)
            loaded = await key_tables.load(connection, secret)
        yield BareStation(folder, config, policy, secret, root_key, loaded, registry, Clock(now))
    finally:
        await registry.close()
