"""Creates, checks and replaces the data directory, always as a whole.

Whoever can read the directory can act as the authority, so other users can never read any file in it, not even for a
moment.
"""

from __future__ import annotations

import os
import shutil
import stat
import tempfile
from collections.abc import Callable, Collection
from contextlib import ExitStack
from itertools import islice
from pathlib import Path
from typing import Final

from runtime.files import name_of_replaced, sync_directory
from runtime.owner import acting_as, future_owner, who_may
from shared.errors import BirthmarkError
from shared.text import printable
from station.registry.location import REGISTRY_NAME
from station.setup.data_lock import locked

MARK: Final = "station.toml"
"""The file that makes a directory a station's: only such a directory is ever replaced."""

REQUIRED: Final = (
    MARK,
    REGISTRY_NAME,
    "secrets/station.key",
    "authority/root.pem",
    "authority/intermediate.pem",
    "authority/intermediate.key",
    "authority/station.pem",
)
"""What a whole data directory holds."""

_ENTRIES_SEARCHED: Final = 1000
_STATIONS_NAMED: Final = 3


def create(data_dir: Path, fill: Callable[[Path], None], *, force: bool) -> Path | None:
    """Make a whole data directory or none: `fill` fills a private directory beside it, which is then renamed.

    With `force`, moves the station that was there aside, never deletes it, and returns its new path. Root acts as the
    owner of the directory, or of the private directory around it. Raises `data.exists` without `force`,
    `data.not-a-station`, `data.in-use` while a station runs on it, and `data.unwritable`.
    """
    with ExitStack() as held:
        try:
            held.enter_context(acting_as(future_owner(data_dir)))
            there = occupied(data_dir)
            if there:
                if not (data_dir / MARK).is_file():
                    raise BirthmarkError("data.not-a-station", f"{data_dir} holds no {MARK}")
                if not force:
                    raise BirthmarkError("data.exists", str(data_dir))
                held.enter_context(locked(data_dir))
            data_dir.parent.mkdir(parents=True, exist_ok=True)
            made = Path(tempfile.mkdtemp(prefix=f".{data_dir.name}.", dir=data_dir.parent))  # mkdtemp makes it 0700
            try:
                fill(made)
            except BaseException:
                shutil.rmtree(made, ignore_errors=True)
                raise
            aside = None
            if there:
                aside = name_of_replaced(data_dir)
                data_dir.rename(aside)
            made.rename(data_dir)
            sync_directory(data_dir.parent)
        except OSError as error:
            raise BirthmarkError("data.unwritable", _told(error, data_dir)) from error
    return aside


def occupied(data_dir: Path) -> bool:
    """Whether the directory holds something that `create` would replace."""
    try:
        return any(data_dir.iterdir())
    except FileNotFoundError:
        return False
    except NotADirectoryError:
        return data_dir.exists()  # `data_dir` is a file, or one of its parents is


def is_station(data_dir: Path) -> bool:
    """Whether the directory is a station's, complete or not. Raises `data.unreadable`."""
    try:
        return (data_dir / MARK).is_file()
    except OSError as error:
        raise _unreadable(error, data_dir) from error


def check(data_dir: Path, supplied: Collection[str] = ()) -> None:
    """Refuse a directory that is missing, incomplete or readable by others.

    `supplied` names files it need not hold. Raises `data.missing`, `data.no-station`, `data.incomplete`,
    `data.readable-by-others` or `data.unreadable`.
    """
    try:
        if not occupied(data_dir):
            raise BirthmarkError("data.missing", str(data_dir))
        required = [name for name in REQUIRED if name not in supplied]
        if not any((data_dir / name).exists() for name in REQUIRED):
            raise BirthmarkError("data.no-station", f"{data_dir}{_stations_below(data_dir)}")
        absent = [name for name in required if not (data_dir / name).is_file()]
        if absent:
            raise BirthmarkError("data.incomplete", f"{data_dir} lacks {', '.join(absent)}")
        for path in (data_dir, *(data_dir / name for name in required)):
            status = path.stat()
            if status.st_mode & (stat.S_IRWXG | stat.S_IRWXO):
                raise BirthmarkError("data.readable-by-others", f"{path} has mode {stat.S_IMODE(status.st_mode):04o}")
    except OSError as error:
        raise _unreadable(error, data_dir) from error


def _stations_below(directory: Path) -> str:
    """Name the stations in `directory`, which may be one level too high: a common mistake."""
    entries = sorted(islice(directory.iterdir(), _ENTRIES_SEARCHED))
    found = [printable(str(entry), 256) for entry in entries if os.path.isfile(entry / MARK)]
    return f"; there is one in {', '.join(found[:_STATIONS_NAMED])}" if found else ""


def _unreadable(error: OSError, data_dir: Path) -> BirthmarkError:
    return BirthmarkError("data.unreadable", _told(error, data_dir))


def _told(error: OSError, data_dir: Path) -> str:
    """Return the path, the error, and for a denied permission the user who has it."""
    path = Path(error.filename or data_dir)
    return f"{path}: {error.strerror}{who_may(path) if isinstance(error, PermissionError) else ''}"
