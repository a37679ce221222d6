"""Puts a station together from its data directory, and makes that directory. Decides nothing of a session."""

from __future__ import annotations

import asyncio
import datetime as dt
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy.ext.asyncio import AsyncConnection

from station import config as configuration
from station import data_dir, keytables
from station.attestation.maker_files import read_maker_files
from station.attestation.makers_directory import MakersDirectory
from station.authority import authority as authorities
from station.authority.authority import Authority, RootKey
from station.config import CONFIG_NAME, EkPolicy, StationConfig
from station.crl import RevocationList
from station.enrollment import Enroller
from station.events import Bus
from station.keytables import KeyTables
from station.provisioning import Provisioner
from station.registry import audit, database
from station.registry.audit import Event
from station.registry.database import Database
from station.root_key import ROOT_KEY_NAME, ROOT_PASSPHRASE_NAME
from station.secret import SECRET_NAME, StationSecret
from station.validation.certificates import CertificateValidator
from station.validation.tokens import TokenValidator


def now() -> int:
    """Seconds since 1970."""
    return int(dt.datetime.now(dt.UTC).timestamp())


@dataclass(frozen=True, slots=True)
class Initialised:
    """What `init` made, and where it put what must now be taken away."""

    data_dir: Path
    replaced: Path | None
    root_key: Path | None
    root_passphrase: Path | None


def init(
    directory: Path, config: StationConfig, *, force: bool, root_passphrase: str | None, ek_roots: Path | None
) -> Initialised:
    """Make a data directory, whole or not at all.

    The root's key is left in it, encrypted under `root_passphrase`; without one a passphrase is made and left beside
    it. Both are to be moved away: the station never reads them. `ek_roots` is a directory of TPM makers' certificates,
    or one file, to be copied in. Raises `data.*` as `data_dir.create` does, and `config.invalid`.
    """

    def authority(folder: Path, secret: StationSecret) -> RootKey:
        return authorities.create(folder, config, secret, dt.datetime.now(dt.UTC), root_passphrase)

    async def registry(connection: AsyncConnection, secret: StationSecret) -> None:
        await keytables.create(connection, secret, config.tables.count)

    return make(
        directory, config, authority, registry, force=force, given_passphrase=bool(root_passphrase), ek_roots=ek_roots
    )


def make(
    directory: Path,
    config: StationConfig,
    authority: Callable[[Path, StationSecret], RootKey | None],
    registry: Callable[[AsyncConnection, StationSecret], Awaitable[None]],
    *,
    force: bool,
    given_passphrase: bool,
    ek_roots: Path | None,
) -> Initialised:
    """A data directory whose authority and registry are filled by the two functions, whole or not at all."""
    config = configuration.check(config)
    # As the caller: `fill` may run as another user, who cannot read them.
    maker_files = read_maker_files(ek_roots) if ek_roots else {}
    root_key: RootKey | None = None

    def fill(folder: Path) -> None:
        nonlocal root_key
        secret = StationSecret.generate()
        (folder / "secrets").mkdir(mode=0o700)
        data_dir.write_private(folder / SECRET_NAME, secret.value())
        data_dir.write_private(folder / CONFIG_NAME, configuration.to_toml(config))
        root_key = authority(folder / "authority", secret)
        if root_key is not None:
            _leave_root_key(folder, root_key, given=given_passphrase)
        target = config.ek_roots(folder)
        target.mkdir(mode=0o700)
        for name, content in maker_files.items():
            data_dir.write_private(target / name, content)
        asyncio.run(_create_registry(folder / "registry.sqlite", config, secret, registry))

    replaced = data_dir.create(directory, fill, force=force)
    return Initialised(
        directory,
        replaced,
        directory / ROOT_KEY_NAME if root_key else None,
        directory / ROOT_PASSPHRASE_NAME if root_key and not given_passphrase else None,
    )


def _leave_root_key(folder: Path, root_key: RootKey, *, given: bool) -> None:
    data_dir.write_private(folder / ROOT_KEY_NAME, root_key.pem)
    if not given:
        data_dir.write_private(folder / ROOT_PASSPHRASE_NAME, root_key.passphrase.encode() + b"\n")


async def _create_registry(
    path: Path,
    config: StationConfig,
    secret: StationSecret,
    fill: Callable[[AsyncConnection, StationSecret], Awaitable[None]],
) -> None:
    await asyncio.to_thread(database.create, path)
    registry = Database(path)
    try:
        async with registry.write() as connection:
            await audit.append(connection, now(), Event.INITIALISED, "", settings=configuration.to_builtins(config))
            await fill(connection, secret)
    finally:
        await registry.close()


@dataclass(frozen=True, slots=True)
class Station:
    """A station that is ready to serve."""

    data_dir: Path
    config: StationConfig
    policy: EkPolicy
    makers: MakersDirectory
    authority: Authority
    tables: KeyTables
    database: Database
    bus: Bus
    provisioner: Provisioner
    enroller: Enroller
    revocation_list: RevocationList
    tokens: TokenValidator
    certificates: CertificateValidator

    @property
    def root_key_left(self) -> bool:
        """Whether the root's key is still lying in the data directory."""
        return (self.data_dir / ROOT_KEY_NAME).exists()


@asynccontextmanager
async def open_registry(directory: Path) -> AsyncIterator[Database]:
    """Only the registry, brought to the newest schema. Raises `data.*` and `registry.*`."""
    data_dir.check(directory, supplied=StationSecret.supplied())
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
    data_dir.check(directory, supplied=StationSecret.supplied())
    config = configuration.load(directory / CONFIG_NAME)
    policy = policy or config.attestation.ek_policy
    secret = StationSecret.load(directory)
    authority = Authority.load(directory, config, secret)
    makers = MakersDirectory(config.ek_roots(directory).absolute())
    async with open_registry(directory) as registry:
        async with registry.read() as connection:
            tables = await keytables.load(connection, secret)
        await _record_settings(registry, config)
        bus = Bus()
        yield Station(
            directory,
            config,
            policy,
            makers,
            authority,
            tables,
            registry,
            bus,
            Provisioner(config, policy, makers, secret, authority, tables, registry, bus),
            Enroller(config, secret, authority, tables, registry, bus),
            RevocationList(authority, registry),
            TokenValidator(secret, tables, registry),
            CertificateValidator(authority, registry),
        )


async def _record_settings(registry: Database, config: StationConfig) -> None:
    """Somebody edits station.toml, and the audit log has it from the next start on."""
    settings = configuration.to_builtins(config)
    async with registry.read() as connection:
        known = await audit.recorded_settings(connection) == settings
    if not known:
        async with registry.write() as connection:
            await audit.append(connection, now(), Event.CONFIGURED, "", settings=settings)
