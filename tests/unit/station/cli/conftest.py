"""A station with three key tables for each test, copied from one that is made once."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from station.config import StationConfig, TablesConfig
from station.setup.init import init_data_dir
from tests.harness.station_commands import StationCommands


@pytest.fixture(scope="session")
def new_station(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("made-once") / "station"
    config = StationConfig(name="Bench 3", tables=TablesConfig(count=3))
    init_data_dir(path, config, force=False, root_passphrase="a passphrase for tests", ek_roots=None)
    return path


@pytest.fixture
def station(new_station: Path, tmp_path: Path) -> StationCommands:
    return StationCommands(Path(shutil.copytree(new_station, tmp_path / "station")))
