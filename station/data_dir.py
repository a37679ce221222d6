"""The data directory and the files in it: created private, checked before use, replaced only as a whole.

Whoever can read it is the authority, so nothing in it is ever readable by others, not even for a moment.
"""

from __future__ import annotations

import os
import shutil
import stat
import tempfile
import time
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Final

from shared.errors import BirthmarkError

REQUIRED: Final = (
    "station.toml",
    "registry.sqlite",
    "secrets/station.key",
    "authority/root.pem",
    "authority/intermediate.pem",
    "authority/intermediate.key",
    "authority/station.pem",
    "authority/station.key",
)
"""What a whole data directory holds."""


def write_private(path: Path, data: bytes) -> None:
    """Create `path` with mode 0600 from the first moment, and have it on the disk. Raises FileExistsError."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def create(data_dir: Path, fill: Callable[[Path], None], *, force: bool) -> Path | None:
    """Make a whole data directory or none: `fill` fills a private directory beside it, which is then renamed.

    With `force` what was there is moved aside, never deleted, and its new path returned.
    Raises `data.exists` without it.
    """
    if occupied(data_dir) and not force:
        raise BirthmarkError("data.exists", str(data_dir))
    try:
        data_dir.parent.mkdir(parents=True, exist_ok=True)
        made = Path(tempfile.mkdtemp(prefix=f".{data_dir.name}.", dir=data_dir.parent))  # mkdtemp makes it 0700
        try:
            fill(made)
        except BaseException:
            shutil.rmtree(made, ignore_errors=True)
            raise
        aside = None
        if occupied(data_dir):
            aside = data_dir.with_name(f"{data_dir.name}.replaced-{time.strftime('%Y%m%dT%H%M%S')}-{os.getpid()}")
            data_dir.rename(aside)
        made.rename(data_dir)
        sync_directory(data_dir.parent)
    except OSError as error:
        raise BirthmarkError("data.unwritable", f"{error.filename or data_dir}: {error.strerror}") from error
    return aside


def occupied(data_dir: Path) -> bool:
    """Whether something is there that `create` would replace."""
    try:
        return any(data_dir.iterdir())
    except FileNotFoundError:
        return False
    except NotADirectoryError:
        return True


def check(data_dir: Path, supplied: Collection[str] = ()) -> None:
    """Refuse a directory that is missing, half made, or readable by others; `supplied` files come from elsewhere.

    Raises `data.missing`, `data.incomplete`, `data.readable-by-others` or `data.unreadable`.
    """
    try:
        if not occupied(data_dir):
            raise BirthmarkError("data.missing", str(data_dir))
        required = [name for name in REQUIRED if name not in supplied]
        absent = [name for name in required if not (data_dir / name).is_file()]
        if absent:
            raise BirthmarkError("data.incomplete", f"{data_dir} lacks {', '.join(absent)}")
        for path in (data_dir, *(data_dir / name for name in required)):
            status = path.stat()
            if status.st_mode & (stat.S_IRWXG | stat.S_IRWXO):
                raise BirthmarkError("data.readable-by-others", f"{path} has mode {stat.S_IMODE(status.st_mode):04o}")
    except OSError as error:
        raise BirthmarkError("data.unreadable", f"{error.filename}: {error.strerror}") from error


def sync_directory(path: Path) -> None:
    """Have the directory's entries on the disk."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
