"""Moves the root's encrypted key from the data directory to a file that the operator names."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from runtime.files import read_regular, sync_directory, write_private
from runtime.owner import acting_as, owner_of
from shared.errors import BirthmarkError

ROOT_KEY_NAME: Final = "root-key.pem"
ROOT_PASSPHRASE_NAME: Final = "root-key.passphrase"  # noqa: S105 - a file name

_KEY_BYTES: Final = 64 * 1024


def target_file(target: Path) -> Path:
    """Return the file that the key is moved to: `target`, or a file in it if it is a directory."""
    return target / ROOT_KEY_NAME if target.is_dir() else target


def check_target(data_dir: Path, target: Path) -> None:
    """Check, before the key is made, that it can be moved to `target`. Raises `data.root-key-unmoved`."""
    file = target_file(target)
    _require_elsewhere(data_dir, file)
    if os.path.lexists(file):
        raise BirthmarkError("data.root-key-unmoved", f"{file} is there already")
    if not file.parent.is_dir():
        raise BirthmarkError("data.root-key-unmoved", f"there is no directory {file.parent}")
    if not os.access(file.parent, os.W_OK):
        raise BirthmarkError("data.root-key-unmoved", f"{file.parent} cannot be written")


def move_root_key(data_dir: Path, target: Path) -> Path:
    """Move the key to `target`. Returns the file; overwrites nothing.

    Writes as the caller and reads as the owner of `data_dir`. When an earlier try has already copied the key, only
    deletes it from the data directory. Raises `data.root-key-unmoved`.
    """
    file = target_file(target)
    source = data_dir / ROOT_KEY_NAME
    _require_elsewhere(data_dir, file)  # else the comparison below would find the key equal to itself
    owner = owner_of(data_dir)
    try:
        with acting_as(owner):
            key = read_regular(source, _KEY_BYTES)
        if not (os.path.lexists(file) and read_regular(file, _KEY_BYTES) == key):
            check_target(data_dir, target)
            write_private(file, key)
            sync_directory(file.parent)
            if read_regular(file, _KEY_BYTES) != key:
                raise BirthmarkError("data.root-key-unmoved", f"{file} does not hold what was written to it")
        with acting_as(owner):
            source.unlink()
            sync_directory(data_dir)
    except OSError as error:
        raise BirthmarkError("data.root-key-unmoved", f"{error.filename or file}: {error.strerror}") from error
    return file


def _require_elsewhere(data_dir: Path, file: Path) -> None:
    if file.resolve().is_relative_to(data_dir.resolve()):
        raise BirthmarkError("data.root-key-unmoved", f"{file} is in the data directory itself")
