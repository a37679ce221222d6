"""`birthmark-station stats` and `tables stats`."""

from __future__ import annotations

from shared.types import TableId
from station.cli.stats import summary
from tests.harness.station_commands import StationCommands


def test_tables_that_nobody_has_count_in_the_mean() -> None:
    assert summary({TableId(0): 3, TableId(1): 0, TableId(2): 0, TableId(3): 1}) == {
        "tables": 4,
        "used": 2,
        "total": 4,
        "minimum": 0,
        "mean": 1.0,
        "maximum": 3,
    }


def test_a_new_station_has_nothing_to_count(station: StationCommands) -> None:
    found = station.read_json("stats")
    assert set(found["units"].values()) == {0}
    assert (found["families"], found["provisioning_seconds"]) == ({}, None)
    told = station("stats").stdout
    assert "key tables      3, 0 in use; units a table: 0 to 0, mean 0.0" in told
    assert "median" not in told


def test_units_families_tables_and_times_are_counted(station: StationCommands) -> None:
    for number in range(2):
        station.provision(f"CAM-{number}")
    found = station.read_json("stats")
    assert (found["units"]["provisioned"], sum(found["families"].values())) == (2, 2)
    assert (found["tables"]["total"], found["provisioning_seconds"]["count"]) == (6, 2)
    told = station("stats").stdout
    assert "provisioned     2" in told
    assert "provisioning    median " in told


def test_the_use_of_each_table_is_listed(station: StationCommands) -> None:
    station.provision("CAM-1")
    assert station.read_json("tables stats")["assignments"] == {"0": 1, "1": 1, "2": 1}
    assert station("tables stats").stdout == "key tables      3, 3 in use; units a table: 1 to 1, mean 1.0\n"
