"""Makes, checks and locks the agent's state directory, which is private and used by one program at a time."""

from __future__ import annotations

import fcntl
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from device_agent.storage.disk import Disk
from runtime.files import NotRegularError, open_regular
from runtime.owner import user_of
from shared.errors import BirthmarkError

DEFAULT_STATE_DIR: Final = Path("/var/lib/birthmark-agent")
_LOCK: Final = "lock"


def prepare_state_dir(path: Path) -> None:
    """Make the state directory, or check that it is private. Raises `identity.state-dir-open`, `disk.*`."""
    disk = Disk()
    try:
        check_state_dir(path)
    except BirthmarkError as error:
        if error.code != "identity.missing":
            raise
        disk.make_directory(path)
        disk.sync(path.parent)
        check_state_dir(path)


def check_state_dir(path: Path) -> None:
    """Refuse a directory that is not private to this process's user: others could have put anything into it.

    Not even root takes another user's; the commands become that user first (`runtime.owner`). Raises
    `identity.missing`, `identity.state-dir-open` or `identity.permission`.
    """
    try:
        found = path.stat()
    except FileNotFoundError:
        raise BirthmarkError("identity.missing", f"there is no {path}") from None
    except OSError as error:
        raise BirthmarkError("identity.permission", f"{path}: {error.strerror}") from error
    if os.geteuid() != found.st_uid:
        owner = user_of(found.st_uid, found.st_gid)
        raise BirthmarkError(
            "identity.permission", f"{path} belongs to {owner.name}; put `{owner.sudo}` before the command"
        )
    mode = stat.S_IMODE(found.st_mode)
    if mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise BirthmarkError("identity.state-dir-open", f"{path} has mode {mode:04o}")


@contextmanager
def lock_state_dir(state_dir: Path) -> Iterator[None]:
    """Lock the state directory for this process.

    Raises `identity.state-dir-busy`, `identity.lock-unfit`, `identity.permission`.
    """
    path = state_dir / _LOCK
    try:
        descriptor = open_regular(path, os.O_RDWR | os.O_CREAT)
    except NotRegularError as error:
        raise BirthmarkError("identity.lock-unfit", f"{path}: {error}") from error
    except OSError as error:
        raise BirthmarkError("identity.permission", f"{state_dir}: {error.strerror}") from error
    try:
        status = os.fstat(descriptor)
        if status.st_nlink != 1 or status.st_uid != os.geteuid():
            raise BirthmarkError("identity.lock-unfit", f"{path}: it has another name, or another owner")
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise BirthmarkError("identity.state-dir-busy", str(state_dir)) from None
        yield
    finally:
        os.close(descriptor)
