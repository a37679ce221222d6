"""The lock on a data directory, also where another file stands in its place."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from shared.errors import BirthmarkError
from station.setup.data_lock import LOCK_NAME, locked, page_of


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


def test_the_holder_tells_where_its_page_is(tmp_path: Path) -> None:
    assert page_of(tmp_path) is None
    with locked(tmp_path) as lock:
        assert page_of(tmp_path) is None
        lock.note_page("http://127.0.0.1:8001/")
        assert page_of(tmp_path) == "http://127.0.0.1:8001/"
        with pytest.raises(BirthmarkError, match=rf"is held by process {os.getpid()} "), locked(tmp_path):
            pass
    with locked(tmp_path):
        assert page_of(tmp_path) is None, "an earlier holder's page is not this one's"


@pytest.mark.parametrize(
    "content",
    [
        "2147483646\nhttp://127.0.0.1:8001/\n",
        "99999999999999999999\nhttp://127.0.0.1:8001/\n",
        "{me}\njavascript:alert(1)/\n",
        "{me}\nhttp://127.0.0.1/\x1b[2J/\n",
        "{me}\nhttp://127.0.0.1:8001/\nmore\n",
        "{me}\nhttp://127.0.0.1:8001/" + "x" * 4096 + "/\n",
        "-1\nhttp://127.0.0.1:8001/\n",
    ],
)
def test_a_file_that_names_no_running_holder_or_no_address_names_no_page(tmp_path: Path, content: str) -> None:
    (tmp_path / LOCK_NAME).write_text(content.format(me=os.getpid()))
    assert page_of(tmp_path) is None


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
    assert page_of(Path()) is None
    assert [path.name for path in tmp_path.iterdir()] == [LOCK_NAME]


def test_a_directory_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    with pytest.raises(BirthmarkError, match=r"No such file.*data\.unwritable"), locked(tmp_path / "none"):
        pass
