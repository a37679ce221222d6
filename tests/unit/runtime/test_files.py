"""Files are read up to a bound; those with secrets are private whatever the umask, never overwritten, and synced."""

from __future__ import annotations

import errno
import os
import stat
import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from runtime.files import (
    NotRegularError,
    TooLargeError,
    name_of_replaced,
    new_private_file,
    read_bounded,
    read_regular,
    sync_directory,
    write_private,
)


@pytest.fixture
def synced(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, bytes]]:
    """Record path and content, at that moment, of everything that is synced."""
    found: list[tuple[str, bytes]] = []
    real = os.fsync

    def fsync(descriptor: int) -> None:
        path = Path(os.readlink(f"/proc/self/fd/{descriptor}"))
        found.append((str(path), path.read_bytes() if path.is_file() else b""))
        real(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    return found


def test_a_secret_is_for_its_owner_alone_whatever_the_umask(tmp_path: Path) -> None:
    old = os.umask(0)
    try:
        write_private(tmp_path / "secret", b"secret")
    finally:
        os.umask(old)
    assert (tmp_path / "secret").read_bytes() == b"secret"
    assert stat.S_IMODE((tmp_path / "secret").stat().st_mode) == 0o600


def test_the_whole_of_it_is_synced_and_so_is_a_directory(tmp_path: Path, synced: list[tuple[str, bytes]]) -> None:
    write_private(tmp_path / "secret", b"secret")
    sync_directory(tmp_path)
    assert synced == [(str(tmp_path / "secret"), b"secret"), (str(tmp_path), b"")]


def test_a_write_overwrites_nothing_and_follows_no_link(tmp_path: Path) -> None:
    (tmp_path / "there").write_bytes(b"old")
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    for name in ("there", "link"):
        with pytest.raises(FileExistsError):
            write_private(tmp_path / name, b"new")
    assert (tmp_path / "there").read_bytes() == b"old"
    assert not (tmp_path / "elsewhere").exists()


def test_only_a_directory_is_synced_as_one(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(NotADirectoryError):
        sync_directory(tmp_path / "file")


def test_a_file_is_read_up_to_its_bound_and_refused_beyond_it(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"12345")
    assert read_bounded(tmp_path / "file", 5) == b"12345"
    with pytest.raises(TooLargeError) as refused:
        read_bounded(tmp_path / "file", 4)
    assert (str(refused.value), refused.value.filename) == ("it is larger than 4 bytes", str(tmp_path / "file"))
    with pytest.raises(FileNotFoundError):
        read_bounded(tmp_path / "none", 4)


def test_no_more_than_the_bound_is_read_of_a_file_without_end() -> None:
    with pytest.raises(TooLargeError):
        read_bounded(Path("/dev/zero"), 1 << 20)


def test_a_small_file_takes_no_memory_for_its_bound(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"12345")
    tracemalloc.start()
    try:
        assert read_bounded(tmp_path / "file", 1 << 30) == b"12345"
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
    finally:
        tracemalloc.stop()


def test_a_pipe_is_read_to_its_end(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    content = os.urandom(300_000)
    with ThreadPoolExecutor(1) as threads:
        threads.submit((tmp_path / "pipe").write_bytes, content)
        assert read_bounded(tmp_path / "pipe", len(content)) == content


def test_a_private_file_is_synced_when_its_writer_is_done(tmp_path: Path, synced: list[tuple[str, bytes]]) -> None:
    with new_private_file(tmp_path / "secret") as file:
        file.write(b"one")
        file.write(b"two")
        assert synced == []
    assert synced == [(str(tmp_path / "secret"), b"onetwo")]


def test_what_is_replaced_is_kept_beside_it(tmp_path: Path) -> None:
    kept = name_of_replaced(tmp_path / "data")
    assert kept.parent == tmp_path
    assert kept.name.startswith("data.replaced-")


def test_a_programs_own_file_is_read_but_no_link_no_pipe_and_nothing_too_long(tmp_path: Path) -> None:
    file, link, pipe = (tmp_path / name for name in ("file", "link", "pipe"))
    file.write_bytes(b"12345")
    link.symlink_to(file)
    os.mkfifo(pipe)
    assert read_regular(file, 5) == b"12345"
    with pytest.raises(TooLargeError):
        read_regular(file, 4)
    for path, number in ((link, errno.ELOOP), (pipe, errno.EINVAL)):
        with pytest.raises(NotRegularError) as caught:
            read_regular(path, 5)
        assert caught.value.errno == number
    with pytest.raises(FileNotFoundError):
        read_regular(tmp_path / "none", 5)
