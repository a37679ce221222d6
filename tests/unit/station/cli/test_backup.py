"""`birthmark-station backup` and `restore`: passphrase and keys, and what is printed."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from pyrage import x25519

from station.setup.backup import backup as backups
from station.setup.backup.backup import RestoreResult
from tests.harness.backup_files import IDENTITY_TEXT, RECIPIENT
from tests.harness.station_commands import StationCommands, run_station

PASSPHRASE = "correct horse battery"


@pytest.fixture
def passphrase_file(tmp_path: Path) -> Path:
    path = tmp_path / "passphrase"
    path.write_text(f"{PASSPHRASE}\nnot this line\n")
    return path


@pytest.mark.parametrize("command", ["backup", "restore"])
def test_without_a_terminal_the_passphrase_comes_from_a_file(
    station: StationCommands, tmp_path: Path, command: str
) -> None:
    result = station(command, tmp_path / "file")
    assert (result.exit_code, "give --passphrase-file" in result.stderr) == (2, True)
    assert not (tmp_path / "file").exists()


@pytest.mark.parametrize(
    ("command", "key"),
    [("backup", f"--recipient={RECIPIENT}"), ("restore", "--identity=-")],
    ids=["backup", "restore"],
)
def test_a_passphrase_and_a_key_are_not_given_together(
    station: StationCommands, tmp_path: Path, passphrase_file: Path, command: str, key: str
) -> None:
    result = station(command, tmp_path / "file", "--passphrase-file", passphrase_file, key)
    assert (result.exit_code, "not" in result.stderr and "both" in result.stderr) == (2, True)
    assert not (tmp_path / "file").exists()


def test_a_backup_for_a_public_key_needs_no_secret_and_its_private_key_restores_it(
    station: StationCommands, tmp_path: Path
) -> None:
    file, identity = tmp_path / "backup", tmp_path / "identity"
    identity.write_text(f"# public key: {RECIPIENT}\n{IDENTITY_TEXT}\n")
    stranger = str(x25519.Identity.generate().to_public())
    told = station("backup", file, f"--recipient={stranger}", f"--recipient={RECIPIENT}")
    assert "Keep it and the key that opens it in different places" in told.stdout
    for number, arguments in enumerate(([f"--identity={identity}"], ["--identity=-"])):
        other = StationCommands(tmp_path / f"restored-{number}")
        back = other("restore", file, *arguments, stdin=f"{IDENTITY_TEXT}\n")
        assert back.exit_code == 0, back.output


@pytest.mark.parametrize(("size", "what"), [(65536, "no AGE-SECRET-KEY-1"), (65537, "more than 65536 bytes")])
def test_no_more_of_an_identity_file_is_read_than_one_can_have(tmp_path: Path, size: int, what: str) -> None:
    (tmp_path / "identity").write_bytes(b"x" * size)
    result = run_station("restore", "--data-dir", tmp_path / "d", tmp_path / "b", f"--identity={tmp_path}/identity")
    assert (result.exit_code, "[backup.identity-unusable]" in result.stderr, what in result.stderr) == (1, True, True)


def test_a_short_passphrase_is_refused_before_anything_is_written(station: StationCommands, tmp_path: Path) -> None:
    result = station("backup", tmp_path / "file", "--passphrase-file", "-", stdin="elevenchars\n")
    assert (result.exit_code, "[config.passphrase-short]" in result.stderr) == (1, True)
    assert "fewer than 12 characters" in result.stderr
    assert not (tmp_path / "file").exists()


def test_a_backup_says_what_it_made_and_a_restore_what_came_back(
    station: StationCommands, tmp_path: Path, passphrase_file: Path
) -> None:
    file, target = tmp_path / "backup", tmp_path / "restored"
    made = station.read_json("backup", file, "--passphrase-file", passphrase_file)
    content = file.read_bytes()
    assert (made["bytes"], made["sha256"]) == (len(content), hashlib.sha256(content).hexdigest())
    assert (made["file"], made["units"]) == (str(file), 0)
    back = StationCommands(target).read_json("restore", file, "--passphrase-file", passphrase_file)
    assert back["data_dir"] == str(target)
    assert (back["station"], back["made_at"]) == ("Bench 3", made["made_at"])
    assert (back["units"], back["replaced"], back["audit_problems"]) == (0, None, [])


def test_a_restore_warns_of_a_log_that_was_not_whole_and_says_what_was_moved_aside(
    tmp_path: Path, passphrase_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "station"
    restored = RestoreResult(target, tmp_path / "station.old", "Bench 3", 1_795_500_000, 7, ("row 5 was changed",))
    monkeypatch.setattr(backups, "restore", lambda *_, **__: restored)
    result = run_station("restore", "--data-dir", target, tmp_path / "b", "--passphrase-file", passphrase_file)
    assert result.exit_code == 0
    assert "Restored 7 units of station Bench 3" in result.stdout
    assert f"Moved the station that was in {target} to {tmp_path / 'station.old'}." in result.stdout
    assert result.stderr.strip() == ("warning: the audit log was not whole when the backup was made: row 5 was changed")
