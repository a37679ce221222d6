"""Types for values that must not be confused: table ids, key indices, NUC hashes, board serials.

Each has one constructor that checks the value, so a value of the type is valid.
"""

from __future__ import annotations

import hmac
import re
from typing import Final, NewType

from shared import limits
from shared.errors import BirthmarkError

TableId = NewType("TableId", int)
"""The number of a key table of the authority: 0 to 2,499."""

KeyIndex = NewType("KeyIndex", int)
"""The number of a key of a table: 0 to 999."""

BoardSerial = NewType("BoardSerial", str)
"""A board's serial number: 1 to 64 ASCII letters, digits and `.`, `_`, `:`, `-`, beginning with a letter or digit."""

_SERIAL: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]*\Z")


def table_id(value: int) -> TableId:
    """Check a table id. Raises `table.id-out-of-range`."""
    if not 0 <= value < limits.TABLE_COUNT_MAX:
        raise BirthmarkError("table.id-out-of-range", f"{value} is not in 0 to {limits.TABLE_COUNT_MAX - 1}")
    return TableId(value)


def key_index(value: int) -> KeyIndex:
    """Check a key index. Raises `table.index-out-of-range`."""
    if not 0 <= value < limits.KEYS_PER_TABLE:
        raise BirthmarkError("table.index-out-of-range", f"{value} is not in 0 to {limits.KEYS_PER_TABLE - 1}")
    return KeyIndex(value)


def board_serial(value: str) -> BoardSerial:
    """Check a board serial. Raises `identity.serial-invalid`, which does not quote the bad value."""
    if len(value) > limits.SERIAL_CHARACTERS or not _SERIAL.match(value):
        raise BirthmarkError("identity.serial-invalid")
    return BoardSerial(value)


class NucHash:
    """The SHA-256 of a sensor's NUC map, 32 bytes: a camera's secret fingerprint.

    Only `secret()` returns its value; `repr` and logs hide it. Raises `nuc.hash-malformed` or `nuc.hash-zeros`.
    """

    __slots__ = ("_value",)

    def __init__(self, value: bytes) -> None:
        if len(value) != 32:
            raise BirthmarkError("nuc.hash-malformed", f"it has {len(value)} bytes, not 32")
        if not any(value):
            raise BirthmarkError("nuc.hash-zeros")
        self._value = bytes(value)

    def secret(self) -> bytes:
        return self._value

    def __eq__(self, other: object) -> bool:
        return isinstance(other, NucHash) and hmac.compare_digest(self._value, other._value)

    def __hash__(self) -> int:
        return hash(self._value)

    def __repr__(self) -> str:
        return "NucHash(hidden)"
