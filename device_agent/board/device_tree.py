"""Reads the board's serial number and model from the device tree."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from shared.errors import BirthmarkError
from shared.text import printable
from shared.types import BoardSerial, board_serial

DEVICE_TREE: Final = Path("/proc/device-tree")
_READ_BYTES: Final = 1024


@dataclass(frozen=True, slots=True)
class Board:
    serial: BoardSerial
    model: str


def read_board(serial: str | None = None, model: str | None = None, device_tree: Path = DEVICE_TREE) -> Board:
    """Return the board's serial number and model; `serial` and `model` override the device tree.

    Raises `board.no-serial` where none is given or found, `identity.serial-invalid` for a bad one.
    """
    found = serial if serial is not None else _read_property(device_tree / "serial-number")
    if found is None:
        raise BirthmarkError("board.no-serial", str(device_tree / "serial-number"))
    return Board(
        board_serial(found), printable(model or _read_property(device_tree / "model") or "") or "unknown board"
    )


def _read_property(path: Path) -> str | None:
    """Return a string property without its NUL byte, or None where it cannot be read."""
    try:
        with path.open("rb") as file:
            return file.read(_READ_BYTES).rstrip(b"\0\n").decode("utf-8", "replace")
    except OSError:
        return None
