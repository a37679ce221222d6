"""Files are written private and whole, or not at all; failures have a code, and root writes for the owner."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

import pytest

from device_agent.storage.disk import Disk
from shared.errors import BirthmarkError


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_files_that_root_writes_into_the_agents_directory_are_the_agents(tmp_path: Path) -> None:
    os.chown(tmp_path, 12345, 12346)
    Disk().write(tmp_path / "root.pem", b"pem")
    status = (tmp_path / "root.pem").stat()
    assert (status.st_uid, status.st_gid, status.st_mode & 0o777) == (12345, 12346, 0o600)


def test_a_file_is_never_written_over_and_is_replaced_only_as_a_whole(tmp_path: Path) -> None:
    path = tmp_path / "file"
    disk = Disk()
    disk.write(path, b"old")
    with pytest.raises(BirthmarkError) as caught:
        disk.write(path, b"new")
    assert (caught.value.code, path.read_bytes()) == ("disk.failed", b"old")
    (tmp_path / ".file.new").write_bytes(b"left by a power cut")
    disk.replace(path, b"new", mode=0o644)
    assert (path.read_bytes(), stat.S_IMODE(path.stat().st_mode)) == (b"new", 0o644)
    assert [entry.name for entry in tmp_path.iterdir()] == ["file"]


def test_ctrl_c_in_a_replacement_leaves_no_half_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(_descriptor: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupt)
    with pytest.raises(KeyboardInterrupt):
        Disk().replace(tmp_path / "file", b"half ", b"and half")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("number", "code"),
    [
        (errno.ENOSPC, "disk.full"),
        (errno.EDQUOT, "disk.full"),
        (errno.EACCES, "disk.permission"),
        (errno.EPERM, "disk.permission"),
        (errno.EIO, "disk.failed"),
    ],
)
def test_a_replacement_that_fails_has_a_code_and_leaves_the_old_file_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, code: str
) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"old")

    def fail(_descriptor: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(BirthmarkError) as caught:
        Disk().replace(path, b"new")
    assert caught.value.code == code
    assert os.strerror(number) in caught.value.detail
    assert {entry.name: entry.read_bytes() for entry in tmp_path.iterdir()} == {"file": b"old"}


def test_a_link_is_removed_and_not_what_it_leads_to(tmp_path: Path) -> None:
    (tmp_path / "directory").mkdir()
    (tmp_path / "directory" / "file").touch()
    (tmp_path / "link").symlink_to("directory")
    disk = Disk()
    disk.remove(tmp_path / "link")
    assert (tmp_path / "directory" / "file").exists()
    disk.remove(tmp_path / "directory")
    disk.remove(tmp_path / "none")
    assert list(tmp_path.iterdir()) == []
