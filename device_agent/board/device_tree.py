"""Facts about the board from the device tree. Reads two files, nothing else."""

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
    """The board's serial number and model, or `serial` and `model` where they are given.

    Raises `board.no-serial` where there is none to read and none given, `identity.serial-invalid` for a bad one.
    """
    found = serial if serial is not None else _property(device_tree / "serial-number")
    if found is None:
        raise BirthmarkError("board.no-serial", str(device_tree / "serial-number"))
    return Board(board_serial(found), printable(model or _property(device_tree / "model") or "") or "unknown board")


def _property(path: Path) -> str | None:
    """A string property of the device tree, which ends with a NUL byte."""
    try:
        with path.open("rb") as file:
            return file.read(_READ_BYTES).rstrip(b"\0\n").decode("utf-8", "replace")
    except OSError:
        return None
