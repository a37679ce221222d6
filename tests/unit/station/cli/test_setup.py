"""`birthmark-station setup` for a user's own station: five steps; run again, what is still undone."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from click.testing import Result

from station.cli import service, setup
from tests.harness.station_commands import run_station

ANSWERS = ("--name", "Bench 3", "--organization", "Example", "--public-url", "https://sma.example.org", "--tables", "3")


def set_up(data_dir: Path, *options: object) -> Result:
    arguments = ("setup", "--data-dir", data_dir, *ANSWERS, "--root-passphrase-file", "-", "--yes", *options)
    return run_station(*arguments, stdin="correct horse battery\n")


def test_programs_get_one_json_value_and_people_the_five_steps(tmp_path: Path) -> None:
    result = set_up(tmp_path / "station", "--json")
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout) == {
        "data_dir": str(tmp_path / "station"),
        "made": True,
        "name": "Bench 3",
        "organization": "Example",
        "public_url": "https://sma.example.org",
        "vendor_certificates": 0,
        "root_key_moved_to": None,
        "root_key_left": True,
        "page": None,
    }
    steps = [line.split(":")[0] for line in result.stderr.splitlines() if not line.startswith("warning: ")]
    assert steps == ["1/5 Settings", "2/5 Authority", "3/5 TPM vendors", "4/5 Root key", "5/5 Service"]


def test_a_warning_names_the_option_for_each_skipped_answer(tmp_path: Path) -> None:
    result = set_up(tmp_path / "station")
    warnings = [line for line in result.stderr.splitlines() if line.startswith("warning: ")]
    assert [option for line in warnings for option in ("--ek-roots DIR", "--root-key-to PLACE") if option in line] == [
        "--ek-roots DIR",
        "--root-key-to PLACE",
    ]


def test_run_again_it_keeps_every_setting_says_so_and_moves_the_root_key(tmp_path: Path) -> None:
    station, key = tmp_path / "station", tmp_path / "root.key"
    set_up(station)
    before = (station / "station.toml").read_bytes()
    result = set_up(station, "--name", "Bench 4", "--root-key-to", key)
    assert result.exit_code == 0, result.output
    assert "1/5 Settings: Bench 3 of Example, https://sma.example.org: as it is" in result.stdout
    assert "nothing is changed" in result.stdout
    assert "warning: --name is not taken over: it is Bench 3" in result.stderr
    assert "--organization is not" not in result.stderr
    assert (station / "station.toml").read_bytes() == before
    assert f"4/5 Root key: moved to {key}" in result.stdout
    assert b"ENCRYPTED" in key.read_bytes()
    assert "4/5 Root key: not on this station" in set_up(station).stdout


def test_the_services_station_is_made_by_root_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(setup, "SERVICE_DATA_DIR", tmp_path / "service" / "data")
    monkeypatch.setattr(setup, "ROOT", os.geteuid() + 1)
    result = run_station("setup", *ANSWERS, "--yes")
    assert (result.exit_code, "sudo birthmark-station setup" in result.stderr) == (2, True)
    assert list(tmp_path.iterdir()) == []


def test_a_service_that_needs_systemd_is_not_started_without_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(setup, "SERVICE_DATA_DIR", tmp_path / "station")
    monkeypatch.setattr(setup, "ROOT", os.geteuid())
    for name in ("service_user", "start"):
        monkeypatch.setattr(service, name, lambda: None)
    monkeypatch.setattr(service, "make_home", lambda _user: None)
    monkeypatch.setattr(service, "page_address", lambda: "http://127.0.0.1:8001/")
    monkeypatch.setattr(service, "systemd_runs", lambda: False)
    assert "5/5 Service: not started, for systemd does not run here" in set_up(tmp_path / "station").stdout
    monkeypatch.setattr(service, "systemd_runs", lambda: True)
    started = set_up(tmp_path / "station").stdout
    assert "5/5 Service: started, and at every boot" in started
    assert "The page: http://127.0.0.1:8001/" in started
