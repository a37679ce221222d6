"""An import takes over the authority's name, tables and units, and leaves the source unchanged."""

from __future__ import annotations

import asyncio
import hashlib
from pathlib import Path

import pytest

from shared.errors import BirthmarkError
from station import config
from station.config import AuthorityConfig
from station.registry import audit
from station.registry.records import KeyHolder, Unit, UnitState
from station.setup.import_sma.takeover import PORT, ImportResult, take_over
from station.setup.open import open_registry
from tests.harness import issuing
from tests.harness.public_sma import FOUNDATION, PublicSma, build


@pytest.fixture
def sma(tmp_path: Path) -> PublicSma:
    return build(tmp_path / "sma")


def taken(sma: PublicSma, directory: Path, authority: AuthorityConfig | None = None) -> ImportResult:
    authority = authority or AuthorityConfig(organization="Another", public_url="https://ma.example")
    return take_over(sma.data, directory, "bench 3", authority, force=False, root_passphrase="for the test")


def digests(folder: Path) -> dict[Path, str]:
    return {path: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.rglob("*") if path.is_file()}


def registered(directory: Path) -> tuple[dict[str, Unit], list[audit.Row]]:
    async def read() -> tuple[dict[str, Unit], list[audit.Row]]:
        async with open_registry(directory) as registry, registry.read() as connection:
            found = await issuing.listed(connection)
            return {unit.serial: unit for unit in found}, await audit.read(connection)

    return asyncio.run(read())


def test_the_result_counts_what_was_imported_and_what_was_not(sma: PublicSma, tmp_path: Path) -> None:
    result = taken(sma, tmp_path / "new")
    assert (result.units, result.revoked, result.tables) == (4, 1, 10)
    assert (result.unregistered, result.foreign_names) == (1, 3)
    assert result.made.data_dir == tmp_path / "new"
    assert result.made.root_passphrase is None, "the passphrase was given"


def test_the_station_bears_the_name_of_the_authority_it_takes_over(sma: PublicSma, tmp_path: Path) -> None:
    taken(sma, tmp_path / "new")
    made = config.load(tmp_path / "new" / "station.toml")
    assert (made.name, made.authority.organization, made.tables.count) == ("bench 3", FOUNDATION, 10)
    assert made.authority.public_url == "https://ma.example"


def test_units_are_registered_with_keys_that_the_station_made(sma: PublicSma, tmp_path: Path) -> None:
    taken(sma, tmp_path / "new")
    found, log = registered(tmp_path / "new")
    assert found.keys() == sma.keys.keys()
    assert {unit.key_holder for unit in found.values()} == {KeyHolder.STATION}
    assert {unit.port for unit in found.values()} == {PORT}
    assert {unit.provisioned_at for unit in found.values()} == {1763238281}
    states = {serial: unit.state for serial, unit in found.items()}
    assert states == dict.fromkeys(sma.keys, UnitState.PROVISIONED) | {"TEST-CAMERA-002": UnitState.REVOKED}
    assert log[-1].event == "imported"
    assert log[-1].detail == '{"revoked":1,"tables":10,"units":4}'


def test_the_source_stays_as_it_was(sma: PublicSma, tmp_path: Path) -> None:
    before = digests(tmp_path / "sma")
    taken(sma, tmp_path / "new")
    assert digests(tmp_path / "sma") == before


def test_an_import_with_invalid_settings_makes_nothing(sma: PublicSma, tmp_path: Path) -> None:
    with pytest.raises(BirthmarkError, match=r"public_url.*config\.invalid"):
        taken(sma, tmp_path / "new", AuthorityConfig(public_url="ftp://x"))
    assert [path.name for path in tmp_path.iterdir()] == ["sma"]
