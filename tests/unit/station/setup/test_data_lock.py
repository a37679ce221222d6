"""The lock on a data directory, also where another file stands in its place."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from shared.errors import BirthmarkError
from station.setup.data_lock import LOCK_NAME, locked


def test_one_process_holds_the_lock_and_it_is_free_afterwards(tmp_path: Path) -> None:
    with locked(tmp_path):
        with (
            pytest.raises(BirthmarkError, match=rf"is held by process {os.getpid()} \[data\.in-use\]"),
            locked(tmp_path),
        ):
            pass
        assert (tmp_path / LOCK_NAME).stat().st_mode & 0o777 == 0o600
    with locked(tmp_path):
        pass


@pytest.mark.parametrize("content", [b"", b"x" * 4096, b"-1\n", "١٢\n".encode(), b"12 rm\n"])
def test_a_holder_that_is_no_number_is_not_named(tmp_path: Path, content: bytes) -> None:
    with locked(tmp_path):
        (tmp_path / LOCK_NAME).write_bytes(content)
        with pytest.raises(BirthmarkError) as raised, locked(tmp_path):
            pass
    assert raised.value.code == "data.in-use"
    assert raised.value.detail == str(tmp_path)


def _socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(str(path))


@pytest.mark.parametrize(
    "plant",
    [
        lambda path: path.symlink_to(path.parent / "elsewhere"),
        lambda path: path.symlink_to("/dev/null"),
        lambda path: path.mkdir(),
        os.mkfifo,
        _socket,
    ],
    ids=["link", "link to a device", "directory", "pipe", "socket"],
)
def test_only_a_regular_file_is_a_lock(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, plant: Callable[[Path], object]
) -> None:
    monkeypatch.chdir(tmp_path)  # a socket's path is short
    plant(Path(LOCK_NAME))
    with pytest.raises(BirthmarkError, match=r"data\.unwritable"), locked(Path()):
        pass
    assert [path.name for path in tmp_path.iterdir()] == [LOCK_NAME]


def test_a_directory_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    with pytest.raises(BirthmarkError, match=r"No such file.*data\.unwritable"), locked(tmp_path / "none"):
        pass
