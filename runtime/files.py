"""Reads files up to a bound, and writes files that hold secrets: mode 0600 from the start, and synced."""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO


class TooLargeError(OSError):
    """The file has more bytes than its reader takes."""

    def __str__(self) -> str:
        return str(self.strerror)


def read_bounded(path: Path, most: int) -> bytes:
    """Read a whole file. Raises OSError, and of that TooLargeError for one of more than `most` bytes."""
    with path.open("rb") as file:
        data = file.read(most + 1)
    if len(data) > most:
        raise TooLargeError(errno.EFBIG, f"it is larger than {most} bytes", str(path))
    return data


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
