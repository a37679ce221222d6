"""Makes, checks and locks the agent's state directory, which is private and used by one program at a time."""

from __future__ import annotations

import fcntl
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from device_agent.storage.disk import Disk, give_to_owner
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
    """Raises `identity.missing`, `identity.state-dir-open` or `identity.permission`."""
    try:
        found = path.stat()
    except FileNotFoundError:
        raise BirthmarkError("identity.missing", f"there is no {path}") from None
    except OSError as error:
        raise BirthmarkError("identity.permission", f"{path}: {error.strerror}") from error
    if os.geteuid() not in (0, found.st_uid):
        owner = user_of(found.st_uid, found.st_gid)
        raise BirthmarkError(
            "identity.permission", f"{path} belongs to {owner.name}; put `{owner.sudo}` before the command"
        )
    mode = stat.S_IMODE(found.st_mode)
    if mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise BirthmarkError("identity.state-dir-open", f"{path} has mode {mode:04o}")


@contextmanager
def lock_state_dir(state_dir: Path) -> Iterator[None]:
    """Lock the state directory for this process. Raises `identity.state-dir-busy`, `identity.permission`."""
    try:
        descriptor = os.open(state_dir / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise BirthmarkError("identity.permission", f"{state_dir}: {error.strerror}") from error
    try:
        give_to_owner(descriptor, state_dir)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise BirthmarkError("identity.state-dir-busy", str(state_dir)) from None
        yield
    finally:
        os.close(descriptor)
