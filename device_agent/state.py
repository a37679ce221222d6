"""The state directory and the TPM that belongs to it: private, held by one program at a time, opened when needed."""

from __future__ import annotations

import fcntl
import os
import pwd
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from device_agent.disk import Disk, give_to_owner
from device_agent.tpm import Simulator, Tpm
from shared.errors import BirthmarkError

DEFAULT_STATE_DIR: Final = Path("/var/lib/birthmark-agent")
DEFAULT_TPM: Final = "device:/dev/tpmrm0"
SIMULATOR: Final = "simulator"
_LOCK: Final = "lock"


class TpmSource:
    """The TPM, opened when it is first needed and again after it was lost."""

    def __init__(self, name: str, state_dir: Path) -> None:
        self.name = name
        self._simulator = Simulator(state_dir) if name == SIMULATOR else None
        self._tpm: Tpm | None = None

    def get(self) -> Tpm:
        if self._tpm is None:
            if self._simulator:
                self._simulator.start()
            self._tpm = Tpm.open(self._simulator.tcti if self._simulator else self.name)
        return self._tpm

    def drop(self) -> None:
        """Forget a TPM that failed; the next `get` begins afresh."""
        tpm, self._tpm = self._tpm, None
        if tpm:
            tpm.close()

    def close(self) -> None:
        self.drop()
        if self._simulator:
            self._simulator.close()


@contextmanager
def open_tpm(name: str, state_dir: Path) -> Iterator[TpmSource]:
    """`name` is `simulator` or a TCTI."""
    source = TpmSource(name, state_dir)
    try:
        yield source
    finally:
        source.close()


def prepare_state_dir(path: Path) -> None:
    """Make the state directory, or see that it is private. Raises `identity.state-dir-open`, `disk.*`."""
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
        owner = user_name(found.st_uid)
        raise BirthmarkError(
            "identity.permission", f"{path} belongs to {owner}; put `sudo -u {owner}` before the command"
        )
    mode = stat.S_IMODE(found.st_mode)
    if mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise BirthmarkError("identity.state-dir-open", f"{path} has mode {mode:04o}")


def user_name(uid: int) -> str:
    """As sudo -u takes it."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"'#{uid}'"


@contextmanager
def as_owner_of(state_dir: Path) -> Iterator[None]:
    """Root acts as the owner of the state directory, who could otherwise lead root astray by links he puts into it."""
    owner = state_dir.stat()
    if os.geteuid() != 0 or owner.st_uid == 0:
        yield
        return
    groups, group = os.getgroups(), os.getegid()
    os.setgroups([])
    os.setegid(owner.st_gid)
    os.seteuid(owner.st_uid)
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(group)
        os.setgroups(groups)


@contextmanager
def only_one(state_dir: Path) -> Iterator[None]:
    """Hold the state directory for this process alone. Raises `identity.state-dir-busy`, `identity.permission`."""
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
