"""An import takes over the authority's name, tables and units, and leaves the source unchanged."""

from __future__ import annotations

import asyncio
import hashlib
from pathlib import Path
from typing import Any

import pytest

from shared.errors import BirthmarkError
from station import config
from station.config import AuthorityConfig
from station.registry import audit
from station.registry.records import UNKNOWN_AUTHORITY, KeyHolder, Unit, UnitState
from station.setup.import_sma.takeover import PORT, ImportResult, UnusableDevicesError, take_over
from station.setup.open import open_registry
from tests.harness import issuing
from tests.harness.public_sma import FOUNDATION, PublicSma, build, replace_authority


@pytest.fixture
def sma(tmp_path: Path) -> PublicSma:
    return build(tmp_path / "sma")


def taken(sma: PublicSma, directory: Path, authority: AuthorityConfig | None = None, **options: Any) -> ImportResult:
    authority = authority or AuthorityConfig(organization="Another", public_url="https://ma.example")
    return take_over(sma.data, directory, "bench 3", authority, force=False, root_passphrase="for the test", **options)


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
    assert log[-1].detail == '{"left_out":[],"revoked":1,"tables":10,"units":4}'


def test_bad_devices_are_told_all_at_once_and_nothing_is_made(sma: PublicSma, tmp_path: Path) -> None:
    sma.change_registry(lambda devices: [devices[number].update(device_certificate="") for number in (0, 3)])
    with pytest.raises(UnusableDevicesError, match=r"2 of 4 \[import\.devices-unusable\]") as caught:
        taken(sma, tmp_path / "new")
    assert [one.name for one in caught.value.refused] == ["TEST-CAMERA-001", "TEST-iOS-1763664889"]
    assert [path.name for path in tmp_path.iterdir()] == ["sma"]


@pytest.mark.parametrize(
    "options", [{"leave_out": ("TEST-CAMERA-001", "TEST-iOS-1763664889")}, {"skip_unusable": True}], ids=str
)
def test_the_others_are_imported_without_the_bad_ones(sma: PublicSma, tmp_path: Path, options: dict[str, Any]) -> None:
    sma.change_registry(lambda devices: [devices[number].update(device_certificate="") for number in (0, 3)])
    result = taken(sma, tmp_path / "new", **options)
    assert (result.units, result.revoked, result.unregistered) == (2, 1, 1)
    assert [one.name for one in result.left_out] == ["TEST-CAMERA-001", "TEST-iOS-1763664889"]
    found, log = registered(tmp_path / "new")
    assert found.keys() == {"TEST-CAMERA-002", "TEST-CAMERA-003"}
    assert '"left_out":["TEST-CAMERA-001","TEST-iOS-1763664889"]' in log[-1].detail


def test_what_skips_the_unusable_does_not_keep_those_of_an_unknown_authority(sma: PublicSma, tmp_path: Path) -> None:
    replace_authority(sma)
    result = taken(sma, tmp_path / "skipped", skip_unusable=True)
    assert (result.units, result.unknown_authority, len(result.left_out)) == (1, 0, 3)
    kept = taken(sma, tmp_path / "kept", keep_unknown_authority=True)
    assert (kept.units, kept.unknown_authority, kept.left_out, kept.foreign_names) == (4, 3, (), 0)
    found, _ = registered(tmp_path / "kept")
    issuers = {unit.serial: unit.certificate.issuer == UNKNOWN_AUTHORITY for unit in found.values() if unit.certificate}
    assert issuers == {serial: "iOS" not in serial for serial in sma.keys}


def test_the_source_stays_as_it_was(sma: PublicSma, tmp_path: Path) -> None:
    before = digests(tmp_path / "sma")
    taken(sma, tmp_path / "new")
    assert digests(tmp_path / "sma") == before


def test_an_import_with_invalid_settings_makes_nothing(sma: PublicSma, tmp_path: Path) -> None:
    with pytest.raises(BirthmarkError, match=r"public_url.*config\.invalid"):
        taken(sma, tmp_path / "new", AuthorityConfig(public_url="ftp://x"))
    assert [path.name for path in tmp_path.iterdir()] == ["sma"]
