"""`birthmark-station export`: what it asks for, and what it prints."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from station.cli import export as command
from station.setup.export_sma import ExportResult
from tests.harness.station_commands import run_station

MADE = ExportResult(Path("/new"), units=12, revoked=2, tables=10, without_nuc_hash=(), unconfirmed=0)


class Export:
    """Replaces the export, and records its arguments."""

    def __init__(self) -> None:
        self.result = MADE
        self.asked: tuple[Path, ...] = ()

    def __call__(self, data_dir: Path, target: Path) -> ExportResult:
        self.asked = (data_dir, target)
        return self.result


@pytest.fixture
def export(monkeypatch: pytest.MonkeyPatch) -> Export:
    export = Export()
    monkeypatch.setattr(command, "export_sma", export)
    return export


def test_counts_and_what_the_operator_must_know_are_printed(export: Export, tmp_path: Path) -> None:
    arguments = ("export", "--format", "sma", "--data-dir", tmp_path, "--output", "/new")
    result = run_station(*arguments)
    assert (result.exit_code, result.stderr) == (0, "")
    assert export.asked == (tmp_path, Path("/new"))
    told = result.stdout.splitlines()
    assert told[0] == "Exported 12 units (2 revoked), 10 key tables: /new"
    assert "in the clear" in told[1]
    assert "root-ca.key" in told[2]
    export.result = ExportResult(Path("/new"), 12, 2, 10, without_nuc_hash=("CAM-1",), unconfirmed=3)
    result = run_station(*arguments)
    assert result.stderr.startswith("CAM-1: its certificate does not hold its NUC hash")
    assert "3 units have not confirmed their certificate" in result.stdout


def test_programs_get_the_same_as_json(export: Export, tmp_path: Path) -> None:
    result = run_station("export", "--format", "sma", "--data-dir", tmp_path, "--output", "/new", "--json")
    assert json.loads(result.stdout) == {
        "directory": "/new",
        "format": "sma",
        "units": 12,
        "revoked": 2,
        "tables": 10,
        "without_nuc_hash": [],
        "unconfirmed": 0,
    }


def test_format_and_place_are_asked_for(export: Export, tmp_path: Path) -> None:
    for missing in (("--output", "/new"), ("--format", "sma"), ("--format", "other", "--output", "/new")):
        assert run_station("export", "--data-dir", tmp_path, *missing).exit_code == 2
    assert export.asked == ()
