"""Locks a data directory for one station. The kernel frees the lock when its holder ends, however it ends.

The lock file tells who the holder is, and where it serves its page.
"""

from __future__ import annotations

import fcntl
import os
import re
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from runtime.owner import who_may
from shared.errors import BirthmarkError

LOCK_NAME: Final = "station.lock"
_HOLDER_BYTES: Final = 512
_HOLDER: Final = re.compile(r"([1-9][0-9]{0,9})\n(?:(https?://[!-~]{1,400}/)\n)?\Z")
"""Its process, and the address of its page once it has one."""


@dataclass(frozen=True, slots=True)
class Lock:
    """A lock that is held."""

    descriptor: int

    def note_page(self, address: str) -> None:
        """Write down where this process serves its page, for `page_of`."""
        os.ftruncate(self.descriptor, 0)
        os.pwrite(self.descriptor, f"{os.getpid()}\n{address}{address and chr(10)}".encode(), 0)


@contextmanager
def locked(data_dir: Path) -> Iterator[Lock]:
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
            pid, _ = _holder(descriptor)
            told = f" is held by process {pid}" if pid else ""
            raise BirthmarkError("data.in-use", f"{data_dir}{told}") from None
        lock = Lock(descriptor)
        lock.note_page("")
        yield lock
    finally:
        os.close(descriptor)


def page_of(data_dir: Path) -> str | None:
    """Return the address of the page of the station that runs on `data_dir`; None when none does."""
    try:
        descriptor = os.open(data_dir / LOCK_NAME, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        pid, page = _holder(descriptor) if stat.S_ISREG(os.fstat(descriptor).st_mode) else (0, "")
    finally:
        os.close(descriptor)
    return page if page and _runs(pid) else None


def _holder(descriptor: int) -> tuple[int, str]:
    """Return the holder's process and its page's address; 0 and nothing where the file does not tell."""
    found = _HOLDER.match(os.pread(descriptor, _HOLDER_BYTES, 0).decode("ascii", errors="replace"))
    return (int(found[1]), found[2] or "") if found else (0, "")


def _runs(pid: int) -> bool:
    """Whether there is such a process: the file of one that was killed still names it."""
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True
    return True
