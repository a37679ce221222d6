"""Locks a data directory for one station. The kernel frees the lock when its holder ends, however it ends."""

from __future__ import annotations

import fcntl
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from runtime.owner import who_may
from shared.errors import BirthmarkError

LOCK_NAME: Final = "station.lock"
_PID_DIGITS: Final = 10


@contextmanager
def locked(data_dir: Path) -> Iterator[None]:
    """Lock `data_dir` for this process. Commands that may run beside a station do not lock it.

    Raises `data.in-use`, which names the other process if the lock file does, and `data.unwritable`.
    """
    path = data_dir / LOCK_NAME
    try:
        # Does not block on a pipe, does not follow a link.
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        descriptor = os.open(path, flags, 0o600)
    except OSError as error:
        raise BirthmarkError("data.unwritable", f"{path}: {error.strerror}{who_may(path)}") from error
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise BirthmarkError("data.unwritable", f"{path} is not a regular file; remove it")
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise BirthmarkError("data.in-use", f"{data_dir}{_holder(descriptor)}") from None
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        yield
    finally:
        os.close(descriptor)


def _holder(descriptor: int) -> str:
    said = os.pread(descriptor, _PID_DIGITS + 1, 0).strip()
    return f" is held by process {said.decode()}" if said.isdigit() else ""
