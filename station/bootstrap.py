"""Puts a station together from its data directory, and makes that directory. Decides nothing of a session."""

from __future__ import annotations

import asyncio
import datetime as dt
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from station import config as configuration
from station import data_dir, keytables
from station.attestation.ek_roots import EkRoots, load_ek_roots
from station.authority import authority as authorities
from station.authority.authority import Authority, RootKey
from station.config import CONFIG_NAME, EkPolicy, StationConfig
from station.events import Bus
from station.keytables import KeyTables
from station.provisioning import Provisioner
from station.registry import audit, database
from station.registry.audit import Event
from station.registry.database import Database
from station.secret import SECRET_NAME, StationSecret

ROOT_KEY_NAME: Final = "root-key.pem"
ROOT_PASSPHRASE_NAME: Final = "root-key.passphrase"  # noqa: S105 - a file name


def now() -> int:
    """Seconds since 1970."""
    return int(dt.datetime.now(dt.UTC).timestamp())


@dataclass(frozen=True, slots=True)
class Initialised:
    """What `init` made, and where it put what must now be taken away."""

    data_dir: Path
    replaced: Path | None
    root_key: Path
    root_passphrase: Path | None


def init(
    directory: Path, config: StationConfig, *, force: bool, root_passphrase: str | None, ek_roots: Path | None
) -> Initialised:
    """Make a data directory, whole or not at all.

    The root's key is left in it, encrypted under `root_passphrase`; without one a passphrase is made and left beside
    it. Both are to be moved away: the station never reads them. Raises `data.exists`, `data.unwritable`.
    """
    config = configuration.check(config)
    roots = load_ek_roots(ek_roots) if ek_roots else None

    def fill(folder: Path) -> None:
        secret = StationSecret.generate()
        (folder / "secrets").mkdir(mode=0o700)
        data_dir.write_private(folder / SECRET_NAME, secret.value())
        data_dir.write_private(folder / CONFIG_NAME, configuration.to_toml(config))
        root_key = authorities.create(folder / "authority", config, secret, dt.datetime.now(dt.UTC), root_passphrase)
        _leave_root_key(folder, root_key, given=root_passphrase is not None)
        target = config.ek_roots(folder)
        if roots is not None and ek_roots is not None:
            shutil.copytree(ek_roots, target)
        else:
            target.mkdir(mode=0o700)
        asyncio.run(_create_registry(folder / "registry.sqlite", config, secret))

    replaced = data_dir.create(directory, fill, force=force)
    passphrase = directory / ROOT_PASSPHRASE_NAME
    return Initialised(directory, replaced, directory / ROOT_KEY_NAME, passphrase if root_passphrase is None else None)


def _leave_root_key(folder: Path, root_key: RootKey, *, given: bool) -> None:
    data_dir.write_private(folder / ROOT_KEY_NAME, root_key.pem)
    if not given:
        data_dir.write_private(folder / ROOT_PASSPHRASE_NAME, root_key.passphrase.encode() + b"\n")


async def _create_registry(path: Path, config: StationConfig, secret: StationSecret) -> None:
    await asyncio.to_thread(database.create, path)
    registry = Database(path)
    try:
        async with registry.write() as connection:
            await keytables.create(connection, secret, config.tables.count)
            await audit.append(connection, now(), Event.INITIALISED, "", tables=config.tables.count)
    finally:
        await registry.close()


@dataclass(frozen=True, slots=True)
class Station:
    """A station that is ready to serve."""

    data_dir: Path
    config: StationConfig
    policy: EkPolicy
    roots: EkRoots
    authority: Authority
    tables: KeyTables
    database: Database
    bus: Bus
    provisioner: Provisioner

    @property
    def root_key_left(self) -> bool:
        """Whether the root's key is still lying in the data directory."""
        return (self.data_dir / ROOT_KEY_NAME).exists()


@asynccontextmanager
async def open_registry(directory: Path) -> AsyncIterator[Database]:
    """Only the registry, brought to the newest schema. Raises `data.*` and `registry.*`."""
    data_dir.check(directory)
    path = directory / "registry.sqlite"
    await asyncio.to_thread(database.migrate, path)
    registry = Database(path)
    try:
        yield registry
    finally:
        await registry.close()


@asynccontextmanager
async def open_station(directory: Path, policy: EkPolicy | None = None) -> AsyncIterator[Station]:
    """Everything, checked. `policy` overrides the configured one. Raises `data.*`, `config.*`, `authority.*`, …"""
    data_dir.check(directory)
    config = configuration.load(directory / CONFIG_NAME)
    policy = policy or config.attestation.ek_policy
    secret = StationSecret.load(directory)
    authority = Authority.load(directory, config, secret)
    roots = load_ek_roots(config.ek_roots(directory))
    async with open_registry(directory) as registry:
        async with registry.read() as connection:
            tables = await keytables.load(connection, secret)
        bus = Bus()
        provisioner = Provisioner(config, policy, roots, secret, authority, tables, registry, bus)
        yield Station(directory, config, policy, roots, authority, tables, registry, bus, provisioner)
