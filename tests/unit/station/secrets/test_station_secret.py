"""The station secret is loaded from its own file or from systemd's credentials."""

from __future__ import annotations

from pathlib import Path

import pytest

from shared.errors import BirthmarkError
from station.secrets.station_secret import SECRET_NAME, StationSecret
from station.setup.data_dir import REQUIRED, check


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    directory = tmp_path / "data"
    for name in REQUIRED:
        path = directory / name
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        path.touch(mode=0o600)
    (directory / SECRET_NAME).write_bytes(bytes(32))
    return directory


@pytest.fixture
def credentials(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    directory = tmp_path / "credentials"
    directory.mkdir()
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(directory))
    return directory


def test_the_secret_is_read_from_the_data_directory(data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CREDENTIALS_DIRECTORY", raising=False)
    assert StationSecret.load(data_dir).value() == bytes(32)
    (data_dir / SECRET_NAME).unlink()
    with pytest.raises(BirthmarkError, match=r"station\.key"):
        check(data_dir, StationSecret.supplied())


def test_a_credential_replaces_the_secret_file(data_dir: Path, credentials: Path) -> None:
    (credentials / "station.key").write_bytes(b"k" * 32)
    (data_dir / SECRET_NAME).unlink()
    check(data_dir, StationSecret.supplied())
    assert StationSecret.load(data_dir).value() == b"k" * 32


def test_other_credentials_do_not_replace_the_file(data_dir: Path, credentials: Path) -> None:
    (credentials / "hsm.pin").write_bytes(b"1234")
    assert StationSecret.load(data_dir).value() == bytes(32)
    assert StationSecret.supplied() == ()


def test_a_credential_of_another_length_is_refused_without_being_shown(data_dir: Path, credentials: Path) -> None:
    (credentials / "station.key").write_bytes(b"s3cret")
    with pytest.raises(BirthmarkError, match="6 bytes") as caught:
        StationSecret.load(data_dir)
    assert "s3cret" not in str(caught.value)
