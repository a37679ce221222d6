"""`birthmark-station import`: what it passes to the import, and what it prints."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from station.cli import import_sma
from station.setup.import_sma.checks import Refused
from station.setup.import_sma.takeover import ImportResult, UnusableDevicesError
from station.setup.init import InitResult
from tests.harness.station_commands import run_station

MADE = InitResult(Path("/new"), None, Path("/new/root.key"), Path("/new/root.passphrase"))
CLEAN = ImportResult(
    MADE,
    units=12,
    revoked=2,
    tables=10,
    unregistered=0,
    foreign_names=0,
    unknown_authority=0,
    other_tables=0,
    left_out=(),
)
BAD = Refused("CAMERA-1", "a time is not in ISO 8601")
UNKNOWN = Refused("CAMERA-2", "its certificate was not signed by an authority in the directory", unknown_authority=True)


class Takeover:
    """Replaces the import, and records its arguments."""

    def __init__(self, result: ImportResult) -> None:
        self.result = result
        self.refuses: tuple[Refused, ...] = ()
        self.asked: dict[str, Any] = {}

    def __call__(self, source: Path, directory: Path, name: str, authority: Any, **options: Any) -> ImportResult:
        if self.refuses:
            raise UnusableDevicesError(self.refuses, 12)
        self.asked = {"source": source, "directory": directory, "name": name, "authority": authority, **options}
        return self.result


@pytest.fixture
def takeover(monkeypatch: pytest.MonkeyPatch) -> Takeover:
    takeover = Takeover(CLEAN)
    monkeypatch.setattr(import_sma, "take_over", takeover)
    return takeover


def test_every_option_reaches_the_takeover(takeover: Takeover, tmp_path: Path) -> None:
    result = run_station(
        *("import", tmp_path, "--data-dir", "/new", "--name", "Bench 3", "--authority-id", "SMA", "--force"),
        *("--public-url", "https://sma.example.org", "--root-passphrase-file", "-"),
        *("--leave-out", "CAMERA-1", "--leave-out", "CAMERA-2", "--skip-unusable", "--keep-unknown-authority"),
        stdin="correct horse battery\n",
    )
    assert result.exit_code == 0, result.output
    authority = takeover.asked.pop("authority")
    assert (authority.authority_id, authority.public_url) == ("SMA", "https://sma.example.org")
    assert takeover.asked == {
        "source": tmp_path,
        "directory": Path("/new"),
        "name": "Bench 3",
        "force": True,
        "root_passphrase": "correct horse battery",
        "leave_out": ("CAMERA-1", "CAMERA-2"),
        "skip_unusable": True,
        "keep_unknown_authority": True,
    }


def test_counts_and_what_is_left_to_do_are_printed(takeover: Takeover, tmp_path: Path) -> None:
    result = run_station("import", tmp_path, "--data-dir", "/new")
    assert result.stdout.splitlines() == [
        "Imported 12 units (2 revoked), 10 key tables.",
        "Now move the root key to a safe place: /new/root.key",
        "  /new/root.passphrase   (to another place than the key)",
        f"The private keys in {tmp_path} still lie there in the clear: destroy them once all is well.",
        "Its intermediate does not say what it may issue, so each Pi must be given it beside the root, both from "
        "/new/authority: birthmark-agent setup --root root.pem --intermediate intermediate.pem",
    ]
    assert result.stderr.startswith("warning: ")
    takeover.result = replace(CLEAN, unregistered=3, foreign_names=4, made=replace(MADE, replaced=Path("/old")))
    told = run_station("import", tmp_path, "--data-dir", "/new").stdout
    assert "3 serial numbers had tables but no unit" in told
    assert "4 certificates misname their issuer" in told
    assert "Moved the station that was in /new to /old." in told


def test_every_bad_device_is_named_with_its_reason_and_a_way_is_offered(takeover: Takeover, tmp_path: Path) -> None:
    takeover.refuses = (BAD, UNKNOWN)
    result = run_station("import", tmp_path, "--data-dir", "/new")
    assert result.exit_code == 1
    told = result.stderr.splitlines()
    assert told[-6:-4] == [f"{one.name}: {one.reason}" for one in (BAD, UNKNOWN)]
    assert told[-4].startswith("1 of them have a certificate of an unknown authority")
    assert "--keep-unknown-authority" in told[-4]
    assert told[-3] == "error: some devices cannot be taken over: 2 of 12"
    assert told[-1] == "  [import.devices-unusable]"
    again = run_station("import", tmp_path, "--data-dir", "/new", "--keep-unknown-authority")
    assert "of them have" not in again.stderr


def test_who_was_left_out_and_what_is_not_valid_is_told(takeover: Takeover, tmp_path: Path) -> None:
    takeover.result = replace(CLEAN, left_out=(BAD,), unknown_authority=4, other_tables=2)
    result = run_station("import", tmp_path, "--data-dir", "/new", "--skip-unusable", "--keep-unknown-authority")
    assert "CAMERA-1: a time is not in ISO 8601" in result.stderr
    assert "4 units have a certificate of an unknown authority: it is never valid here; their tokens are." in (
        result.stdout.splitlines()
    )
    assert "warning: 2 units had key tables with other master keys" in result.stderr
    as_json = json.loads(run_station("import", tmp_path, "--data-dir", "/new", "--json").stdout)
    assert as_json["left_out"] == [{"device": BAD.name, "reason": BAD.reason}]


def test_programs_get_the_same_as_json(takeover: Takeover, tmp_path: Path) -> None:
    takeover.result = replace(CLEAN, made=replace(MADE, root_key=None, root_passphrase=None))
    assert json.loads(run_station("import", tmp_path, "--data-dir", "/new", "--json").stdout) == {
        "data_dir": "/new",
        "units": 12,
        "revoked": 2,
        "tables": 10,
        "unregistered": 0,
        "foreign_issuer_names": 0,
        "unknown_authority": 0,
        "other_tables": 0,
        "left_out": [],
        "replaced": None,
        "root_key": None,
        "root_passphrase_file": None,
    }


def test_a_short_passphrase_or_no_directory_is_refused_before_anything_is_read(
    takeover: Takeover, tmp_path: Path
) -> None:
    arguments = ("import", "--data-dir", "/new", "--root-passphrase-file", "-")
    assert run_station(*arguments, tmp_path, stdin="short\n").exit_code == 1
    assert run_station(*arguments, tmp_path / "none", stdin="correct horse battery\n").exit_code == 2
    assert takeover.asked == {}
