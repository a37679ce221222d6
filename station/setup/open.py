"""Opens the registry, or a whole station, from its data directory."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from runtime.clock import SYSTEM_CLOCK, Clock, unix_time
from station import config as configuration
from station.attestation.ek.vendor_directory import VendorsDirectory
from station.authority import files
from station.config import CONFIG_NAME, EkPolicy, StationConfig
from station.registry import audit, database
from station.registry.audit import Event
from station.registry.database import Database
from station.registry.location import registry_url
from station.secrets import key_tables
from station.secrets.station_secret import StationSecret
from station.services import Services
from station.setup import data_dir


@asynccontextmanager
async def open_registry(directory: Path) -> AsyncIterator[Database]:
    """Open only the registry, and bring it to the newest schema, also when a setting of station.toml is wrong.

    Raises `data.*` and `registry.*`.
    """
    data_dir.check(directory, supplied=StationSecret.supplied())
    url = registry_url(directory)
    await asyncio.to_thread(database.migrate, url)
    registry = Database(url, configuration.load_name(directory / CONFIG_NAME))
    try:
        yield registry
    finally:
        await registry.close()


@asynccontextmanager
async def open_station(
    directory: Path, policy: EkPolicy | None = None, clock: Clock = SYSTEM_CLOCK
) -> AsyncIterator[Services]:
    """Open and check everything.

    `policy` overrides the configured one. Raises `data.*`, `config.*`, `authority.*`, `table.*` and `registry.*`.
    """
    data_dir.check(directory, supplied=StationSecret.supplied())
    config = configuration.load(directory / CONFIG_NAME)
    policy = policy or config.attestation.ek_policy
    secret = StationSecret.load(directory)
    authority = files.load(directory, config, secret)
    vendors = VendorsDirectory(config.ek_roots(directory).absolute())
    async with open_registry(directory) as registry:
        async with registry.read() as connection:
            tables = await key_tables.load(connection, secret)
        await _record_settings(registry, config, clock)
        yield Services(
            directory,
            config,
            policy,
            vendors=vendors,
            secret=secret,
            authority=authority,
            tables=tables,
            database=registry,
            clock=clock,
        )


async def _record_settings(registry: Database, config: StationConfig, clock: Clock) -> None:
    """Record the settings of station.toml in the audit log when they differ from those recorded last."""
    settings = configuration.to_builtins(config)
    async with registry.read() as connection:
        known = await audit.recorded_settings(connection) == settings
    if not known:
        async with registry.write() as connection:
            await audit.append(connection, unix_time(clock), Event.CONFIGURED, "", settings=settings)
