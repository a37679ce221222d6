"""Works with the service that the package installs: its user, its home, its start."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
from pathlib import Path
from typing import Final

from runtime.owner import ROOT, User, user_named, user_of
from shared.errors import BirthmarkError
from station.cli.data_directory import SERVICE_DATA_DIR

USER_NAME: Final = "birthmark-station"
SOCKET: Final = "birthmark-station.socket"
SERVICE: Final = "birthmark-station.service"

_SYSTEMD_RUNS: Final = Path("/run/systemd/system")
"""sd_booted(3)."""

_START_SECONDS: Final = 180
_LINES_TOLD: Final = 5


def service_user() -> User:
    """Return the service's user. Raises `setup.package-missing`."""
    user = user_named(USER_NAME)
    if user is None:
        raise BirthmarkError("setup.package-missing")
    return user


def make_home(user: User) -> None:
    """Make the directory around the service's data directory, private to `user`. Raises `data.unwritable`."""
    home = SERVICE_DATA_DIR.parent
    try:
        home.mkdir(mode=0o700, exist_ok=True)
        descriptor = os.open(home, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            status = os.fstat(descriptor)
            if status.st_uid not in (ROOT, user.uid):
                owner = user_of(status.st_uid, status.st_gid).name
                raise BirthmarkError("data.unwritable", f"{home} belongs to {owner}, not to {user.name}")
            os.fchown(descriptor, user.uid, user.gid)
            os.fchmod(descriptor, stat.S_IRWXU)
        finally:
            os.close(descriptor)
    except OSError as error:
        raise BirthmarkError("data.unwritable", f"{home}: {error.strerror}") from error


def systemd_runs() -> bool:
    return _SYSTEMD_RUNS.is_dir() and shutil.which("systemctl") is not None


def start() -> None:
    """Start the service now and at every boot. Returns when the station serves. Raises `setup.service-failed`."""
    _systemctl("enable", "--now", SOCKET)
    _systemctl("start", SERVICE)


def page_address() -> str:
    """Return the address of the service's socket, as `http://127.0.0.1:8001/`. Raises `setup.service-failed`."""
    listening = _systemctl("show", "--property=Listen", "--value", SOCKET).split()
    return f"http://{listening[0]}/" if listening else ""


def _systemctl(*arguments: str) -> str:
    command = ("systemctl", *arguments)
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_START_SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise BirthmarkError("setup.service-failed", f"{' '.join(command)}: {error}") from error
    if done.returncode:
        said = " ".join(done.stderr.splitlines()[-_LINES_TOLD:])
        raise BirthmarkError("setup.service-failed", f"{' '.join(command)}: {said}")
    return done.stdout
