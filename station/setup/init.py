"""Makes a station's data directory, whole or not at all."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

from runtime.clock import SYSTEM_CLOCK, Clock, unix_time, utc_now
from runtime.files import write_private
from station import config as configuration
from station.attestation.ek.vendor_files import read_vendor_files
from station.authority import files as authority_files
from station.authority.files import RootKey
from station.config import CONFIG_NAME, StationConfig
from station.registry import audit, database
from station.registry.audit import Event
from station.registry.database import Connection, Database
from station.registry.location import registry_url
from station.secrets import key_tables
from station.secrets.station_secret import SECRET_NAME, StationSecret
from station.setup import data_dir
from station.setup.root_key import ROOT_KEY_NAME, ROOT_PASSPHRASE_NAME


@dataclass(frozen=True, slots=True)
class InitResult:
    """What `init` made, and where it put the files that the operator must now take away."""

    data_dir: Path
    replaced: Path | None
    root_key: Path | None
    root_passphrase: Path | None


def init_data_dir(
    directory: Path,
    config: StationConfig,
    *,
    force: bool,
    root_passphrase: str | None,
    ek_roots: Path | None,
    clock: Clock = SYSTEM_CLOCK,
) -> InitResult:
    """Make a data directory, whole or not at all.

    Leaves the root's key in it, encrypted under `root_passphrase`; without one, makes a passphrase and leaves it beside
    the key. The operator moves both away: the station never reads them. `ek_roots` is a directory of TPM vendors'
    certificates, or one file, and is copied in. Raises `data.*` as `data_dir.create` does, and `config.invalid`.
    """

    def authority(folder: Path, secret: StationSecret) -> RootKey:
        return authority_files.create(folder, config, secret, utc_now(clock), root_passphrase)

    async def registry(connection: Connection, secret: StationSecret) -> None:
        await key_tables.create(connection, secret, config.tables.count)

    return make_data_dir(
        directory,
        config,
        authority,
        registry,
        force=force,
        given_passphrase=bool(root_passphrase),
        ek_roots=ek_roots,
        clock=clock,
    )


def make_data_dir(
    directory: Path,
    config: StationConfig,
    authority: Callable[[Path, StationSecret], RootKey | None],
    registry: Callable[[Connection, StationSecret], Awaitable[None]],
    *,
    force: bool,
    given_passphrase: bool,
    ek_roots: Path | None,
    clock: Clock,
) -> InitResult:
    """Make a data directory, whole or not at all; the two functions fill its authority and its registry."""
    config = configuration.check(config)
    # Read as the caller: `fill` may run as another user, who cannot read them.
    vendor_files = read_vendor_files(ek_roots) if ek_roots else {}
    root_key: RootKey | None = None

    def fill(folder: Path) -> None:
        nonlocal root_key
        secret = StationSecret.generate()
        (folder / "secrets").mkdir(mode=0o700)
        write_private(folder / SECRET_NAME, secret.value())
        write_private(folder / CONFIG_NAME, configuration.to_toml(config))
        root_key = authority(folder / "authority", secret)
        if root_key is not None:
            _leave_root_key(folder, root_key, given=given_passphrase)
        target = config.ek_roots(folder)
        target.mkdir(mode=0o700)
        for name, content in vendor_files.items():
            write_private(target / name, content)
        asyncio.run(_create_registry(registry_url(folder), config, secret, registry, clock))

    replaced = data_dir.create(directory, fill, force=force)
    return InitResult(
        directory,
        replaced,
        directory / ROOT_KEY_NAME if root_key else None,
        directory / ROOT_PASSPHRASE_NAME if root_key and not given_passphrase else None,
    )


def _leave_root_key(folder: Path, root_key: RootKey, *, given: bool) -> None:
    write_private(folder / ROOT_KEY_NAME, root_key.pem)
    if not given:
        write_private(folder / ROOT_PASSPHRASE_NAME, root_key.passphrase.encode() + b"\n")


async def _create_registry(
    url: str,
    config: StationConfig,
    secret: StationSecret,
    fill: Callable[[Connection, StationSecret], Awaitable[None]],
    clock: Clock,
) -> None:
    await asyncio.to_thread(database.create, url)
    registry = Database(url, config.name)
    try:
        async with registry.write() as connection:
            await audit.append(
                connection, unix_time(clock), Event.INITIALISED, "", settings=configuration.to_builtins(config)
            )
            await fill(connection, secret)
    finally:
        await registry.close()
