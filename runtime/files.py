"""Reads files up to a bound, and writes files that hold secrets: mode 0600 from the start, and synced."""

from __future__ import annotations

import errno
import os
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Final

_PART_BYTES: Final = 64 * 1024
"""How much of a pipe, whose size nobody knows, is read at once."""


class TooLargeError(OSError):
    """The file has more bytes than its reader takes."""

    def __str__(self) -> str:
        return str(self.strerror)


class NotRegularError(OSError):
    """A link, a pipe or a device stands where a file should."""

    def __str__(self) -> str:
        return str(self.strerror)


def read_bounded(path: Path, most: int) -> bytes:
    """Read a whole file that a person names. Raises OSError, and of that TooLargeError for more than `most` bytes."""
    with path.open("rb") as file:
        return _read(file, path, most)


def read_regular(path: Path, most: int) -> bytes:
    """Read a whole file of a program's own. Follows no link in its place, and waits for no pipe.

    Raises OSError, and of that NotRegularError and, for more than `most` bytes, TooLargeError.
    """
    with os.fdopen(open_regular(path, os.O_RDONLY), "rb") as file:
        return _read(file, path, most)


def open_regular(path: Path, flags: int) -> int:
    """Open a regular file, with mode 0600 if the flags say that it is made. Raises OSError, NotRegularError."""
    try:
        descriptor = os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, 0o600)
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise NotRegularError(errno.ELOOP, "it is a link", str(path)) from error
        raise
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise NotRegularError(errno.EINVAL, "it is not a regular file", str(path))
    return descriptor


def _read(file: BinaryIO, path: Path, most: int) -> bytes:
    # Python takes memory for all that is asked for, before it reads: ask for what is there, and go on to the end.
    part = max(os.fstat(file.fileno()).st_size + 1, _PART_BYTES)
    parts: list[bytes] = []
    left = most + 1
    while left and (read := file.read(min(left, part))):
        parts.append(read)
        left -= len(read)
    if not left:
        raise TooLargeError(errno.EFBIG, f"it is larger than {most} bytes", str(path))
    return parts[0] if len(parts) == 1 else b"".join(parts)


@contextmanager
def new_private_file(path: Path) -> Iterator[BinaryIO]:
    """Create `path` with mode 0600, and sync what the block writes to the disk. Raises FileExistsError."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "w+b") as file:
        yield file
        file.flush()
        os.fsync(descriptor)


def write_private(path: Path, data: bytes) -> None:
    """Create `path` with mode 0600 and sync it to the disk. Raises FileExistsError."""
    with new_private_file(path) as file:
        file.write(data)


def replace_private(path: Path, data: bytes) -> None:
    """Replace `path`, or create it, in one step: what a reader finds is whole, and so is what a power cut leaves."""
    unfinished = path.with_name(f".{path.name}.new")
    unfinished.unlink(missing_ok=True)
    write_private(unfinished, data)
    unfinished.replace(path)
    sync_directory(path.parent)


def sync_directory(path: Path) -> None:
    """Sync the directory's entries to the disk."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def name_of_replaced(path: Path) -> Path:
    """The name, with the time, that what stands at `path` is kept under when another takes its place."""
    return path.with_name(f"{path.name}.replaced-{time.strftime('%Y%m%dT%H%M%S')}-{os.getpid()}")
