"""The door for `setup_sma.py`: what it refuses, and that its files are private. The documents' lines are run by
tests/integration/test_source_lines.py."""

from __future__ import annotations

import stat
import sys
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from scripts import setup_sma


def run(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr(sys, "argv", ["setup_sma.py", *arguments])
    return setup_sma.main()


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_everything_that_it_makes_is_private(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert run(monkeypatch) == 0
    paths = list((tmp_path / "data").rglob("*"))
    assert {stat.S_IMODE(path.stat().st_mode) for path in paths if path.is_file()} == {0o600}
    assert {stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "data", *filter(Path.is_dir, paths))} == {0o700}


def test_the_root_key_is_encrypted_and_opens_with_the_passphrase_beside_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run(monkeypatch) == 0
    key, passphrase = ((tmp_path / "data" / name).read_bytes() for name in ("root-key.pem", "root-key.passphrase"))
    with pytest.raises(TypeError, match="encrypted"):
        load_pem_private_key(key, None)
    root = x509.load_pem_x509_certificate((tmp_path / "data" / "root-ca.crt").read_bytes())
    assert load_pem_private_key(key, passphrase.strip()).public_key() == root.public_key()


def test_a_token_is_made_once_and_is_in_no_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch) == 0
    said = capsys.readouterr().out
    [token] = {line.rsplit("Bearer ", 1)[1].rstrip('"') for line in said.splitlines() if "Bearer" in line}
    assert all(token.encode() not in path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    assert run(monkeypatch) == 0
    again = capsys.readouterr().out
    assert "Bearer" not in again
    assert "birthmark-station tokens create" in again


@pytest.mark.parametrize("number", ["2", "2501", "-1"])
def test_a_number_of_tables_that_cannot_be_makes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], number: str
) -> None:
    assert run(monkeypatch, "--num-tables", number) == 1
    assert "[config.invalid]" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_a_directory_of_something_else_is_left_as_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "key_tables.json").write_text("{}")
    for options in ((), ("--force",)):
        assert run(monkeypatch, *options) == 1
        assert "[data.not-a-station]" in capsys.readouterr().err
    assert [path.name for path in (tmp_path / "data").iterdir()] == ["key_tables.json"]
