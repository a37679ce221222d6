"""Files that hold secrets are private whatever the umask, never overwritten, and on the disk when the call returns."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from runtime.files import sync_directory, write_private


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
