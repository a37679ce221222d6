"""A new station is complete and private, leaves the root's key for the operator, and a failure makes nothing."""

from __future__ import annotations

import asyncio
import stat
from pathlib import Path

import msgspec
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from shared.errors import BirthmarkError
from station import config
from station.config import AuthorityConfig, StationConfig, TablesConfig
from station.registry import audit
from station.secrets import key_tables
from station.secrets.station_secret import StationSecret
from station.setup import data_dir
from station.setup.init import InitResult, init_data_dir
from station.setup.open import open_registry
from station.setup.root_key import ROOT_KEY_NAME, ROOT_PASSPHRASE_NAME

CONFIG = StationConfig(name="bench 3", authority=AuthorityConfig(organization="Maker"), tables=TablesConfig(count=12))
PASSPHRASE = "for the test"
NOW = 1_795_000_000


def init(tmp_path: Path, *, passphrase: str | None = PASSPHRASE, vendors: Path | None = None) -> InitResult:
    return init_data_dir(
        tmp_path / "data", CONFIG, force=False, root_passphrase=passphrase, ek_roots=vendors, clock=lambda: NOW
    )


def root_key(made: InitResult, passphrase: bytes) -> object:
    assert made.root_key is not None
    return load_pem_private_key(made.root_key.read_bytes(), passphrase).public_key()


def root(directory: Path) -> object:
    return x509.load_pem_x509_certificate((directory / "authority" / "root.pem").read_bytes()).public_key()


def test_a_new_station_is_complete_and_private(tmp_path: Path) -> None:
    made = init(tmp_path)
    assert (made.data_dir, made.replaced) == (tmp_path / "data", None)
    data_dir.check(made.data_dir)
    modes = {stat.S_IMODE(path.stat().st_mode) for path in made.data_dir.rglob("*") if path.is_file()}
    assert modes == {0o600}
    assert {stat.S_IMODE(path.stat().st_mode) for path in made.data_dir.rglob("*") if path.is_dir()} == {0o700}


def test_a_new_stations_settings_are_in_its_file_and_first_in_its_log(tmp_path: Path) -> None:
    directory = init(tmp_path).data_dir
    assert config.load(directory / config.CONFIG_NAME) == CONFIG

    async def log() -> list[audit.Row]:
        async with open_registry(directory) as registry, registry.read() as connection:
            return await audit.read(connection)

    [row] = asyncio.run(log())
    assert (row.event, row.at) == ("initialised", NOW)
    assert msgspec.json.decode(row.detail) == {"settings": config.to_builtins(CONFIG)}


def test_a_new_station_has_the_number_of_key_tables_asked_for(tmp_path: Path) -> None:
    directory = init(tmp_path).data_dir

    async def tables() -> key_tables.KeyTables:
        async with open_registry(directory) as registry, registry.read() as connection:
            return await key_tables.load(connection, StationSecret.load(directory))

    assert asyncio.run(tables()).ids() == list(range(12))


def test_the_roots_key_is_left_encrypted_under_the_passphrase_given(tmp_path: Path) -> None:
    made = init(tmp_path, passphrase="correct horse")
    assert (made.root_key, made.root_passphrase) == (made.data_dir / ROOT_KEY_NAME, None)
    assert root_key(made, b"correct horse") == root(made.data_dir)
    assert not (made.data_dir / ROOT_PASSPHRASE_NAME).exists()
    with pytest.raises(ValueError, match="password"):
        root_key(made, b"battery staple")


def test_without_a_passphrase_one_is_made_and_left_beside_it(tmp_path: Path) -> None:
    made = init(tmp_path, passphrase=None)
    assert made.root_passphrase == made.data_dir / ROOT_PASSPHRASE_NAME
    assert root_key(made, made.root_passphrase.read_bytes().strip()) == root(made.data_dir)


def test_the_vendors_files_are_copied_as_they_are(tmp_path: Path) -> None:
    (tmp_path / "vendors").mkdir()
    (tmp_path / "vendors" / "Some Vendor.pem").write_bytes(b"no certificate, but the operator's")
    copied = CONFIG.ek_roots(init(tmp_path, vendors=tmp_path / "vendors").data_dir)
    assert [path.name for path in copied.iterdir()] == ["Some Vendor.pem"]
    assert (copied / "Some Vendor.pem").read_bytes() == b"no certificate, but the operator's"


def test_no_two_stations_have_a_secret_or_a_root_in_common(tmp_path: Path) -> None:
    directories = [init(tmp_path / name).data_dir for name in ("one", "other")]
    for name in ("secrets/station.key", "authority/root.pem"):
        one, other = ((directory / name).read_bytes() for directory in directories)
        assert one != other


def test_init_with_invalid_arguments_makes_nothing(tmp_path: Path) -> None:
    with pytest.raises(BirthmarkError, match=r"tables\.count.*config\.invalid"):
        init_data_dir(
            tmp_path / "data",
            StationConfig(tables=TablesConfig(count=2)),
            force=False,
            root_passphrase=None,
            ek_roots=None,
        )
    with pytest.raises(BirthmarkError, match=r"none.*config\.invalid"):
        init(tmp_path, vendors=tmp_path / "none")
    assert list(tmp_path.iterdir()) == []


def test_force_moves_an_existing_station_aside(tmp_path: Path) -> None:
    before = root(init(tmp_path).data_dir)
    again = init_data_dir(tmp_path / "data", CONFIG, force=True, root_passphrase="another", ek_roots=None)
    assert again.replaced is not None
    assert root(again.replaced) == before
    assert root(again.data_dir) != before
