"""Makes every change to the disk through `Disk`, so that a test can stop after each.

Files are private from the first moment (0600 in 0700) and on the disk when the call returns. An entry in a directory is
on the disk after that directory is synced.
"""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, TypeAlias

from runtime.files import new_private_file, sync_directory
from shared.errors import BirthmarkError, ErrorCode

_CODES: Final[dict[int, ErrorCode]] = {
    errno.ENOSPC: "disk.full",
    errno.EDQUOT: "disk.full",
    errno.EACCES: "disk.permission",
    errno.EPERM: "disk.permission",
}

Buffer: TypeAlias = bytes | bytearray | memoryview


class Disk:
    """Changes files. Every method raises `disk.full`, `disk.permission` or `disk.failed`; then existing files stay."""

    def make_directory(self, path: Path) -> None:
        with _translated(path):
            path.mkdir(mode=0o700)

    def write(self, path: Path, *parts: Buffer, mode: int = 0o600) -> None:
        """Write a new file and sync it. It is private until it is complete."""
        with _translated(path), new_private_file(path) as file:
            give_to_owner(file.fileno(), path.parent)
            file.writelines(parts)
            file.flush()
            if mode != 0o600:
                os.fchmod(file.fileno(), mode)

    def replace(self, path: Path, *parts: Buffer, mode: int = 0o600) -> None:
        """Replace a file in one step. The new one is private and has another name until it is complete."""
        unfinished = path.with_name(f".{path.name}.new")
        self.remove(unfinished)
        try:
            self.write(unfinished, *parts, mode=mode)
            self.rename(unfinished, path)
        except BaseException:  # Ctrl-C, too
            self.remove(unfinished)
            raise
        self.sync(path.parent)

    def link(self, source: Path, path: Path) -> None:
        """Give a file a second name."""
        with _translated(path):
            os.link(source, path)

    def point(self, path: Path, target: str) -> None:
        """Make a symbolic link."""
        with _translated(path):
            path.symlink_to(target)

    def rename(self, source: Path, target: Path) -> None:
        """Rename, replacing `target` in one step."""
        with _translated(target):
            source.rename(target)

    def sync(self, directory: Path) -> None:
        with _translated(directory):
            sync_directory(directory)

    def remove(self, path: Path) -> None:
        """Remove a file or a whole directory, which need not exist."""
        with _translated(path):
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)


def give_to_owner(descriptor: int, directory: Path) -> None:
    """Under sudo, give a new file in `directory` to the directory's owner, as whom the agent reads it later."""
    owner = directory.stat()
    if os.geteuid() == 0 and owner.st_uid != 0:
        os.fchown(descriptor, owner.st_uid, owner.st_gid)


@contextmanager
def _translated(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        code = _CODES.get(error.errno or 0, "disk.failed")
        raise BirthmarkError(code, f"{path}: {error.strerror}") from error
