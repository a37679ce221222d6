"""Types for values that must not be confused: table ids, key indices, board serials, NUC hashes, keys.

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
"""A board's serial number: 1 to 64 ASCII letters, digits and `.`, `_`, `:`, `-`, beginning with a letter or digit.

It keeps the case in which it was given; two that differ in nothing else are one board's (`serial_key`)."""

SECRET_BYTES: Final = 32
"""The length of a NUC hash, and of every key of a table."""

RESERVED_SERIALS: Final = frozenset({"provision", "provision-phase2"})
"""Words that stand in the place of a serial number in an address of the HTTP interface, so that no unit has one."""

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
    if serial_key(value) in RESERVED_SERIALS:
        raise BirthmarkError("identity.serial-invalid", "it is a reserved word")
    return BoardSerial(value)


def serial_key(serial: str) -> str:
    """Return what spellings of one serial number have in common: labels print capitals where the board has none."""
    return serial.lower() if serial.isascii() else serial  # "K", the sign for Kelvin, is no "k"


class _Secret:
    """32 secret bytes of one kind, equal only to the same bytes of the same kind.

    Only `secret()` returns them; `repr` and logs hide them. Raises ValueError for another length.
    """

    __slots__ = ("_value",)

    def __init__(self, value: bytes) -> None:
        if len(value) != SECRET_BYTES:
            raise ValueError(f"a {type(self).__name__} has {SECRET_BYTES} bytes, not {len(value)}")
        self._value = bytes(value)

    def secret(self) -> bytes:
        return self._value

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, _Secret) or type(other) is not type(self):
            return False
        return hmac.compare_digest(self._value, other._value)

    def __hash__(self) -> int:
        return hash((type(self), self._value))

    def __repr__(self) -> str:
        return f"{type(self).__name__}(hidden)"


class NucHash(_Secret):
    """The SHA-256 of a sensor's NUC map: a camera's fingerprint. Raises `nuc.hash-malformed` or `nuc.hash-zeros`."""

    __slots__ = ()

    def __init__(self, value: bytes) -> None:
        if len(value) != SECRET_BYTES:
            raise BirthmarkError("nuc.hash-malformed", f"it has {len(value)} bytes, not {SECRET_BYTES}")
        if not any(value):
            raise BirthmarkError("nuc.hash-zeros")
        super().__init__(value)


class MasterKey(_Secret):
    """The key of a key table, which never leaves the authority. Raises `table.master-key-malformed`."""

    __slots__ = ()

    def __init__(self, value: bytes) -> None:
        if len(value) != SECRET_BYTES:
            raise BirthmarkError("table.master-key-malformed", f"it has {len(value)} bytes, not {SECRET_BYTES}")
        super().__init__(value)


class TableKey(_Secret):
    """What HKDF-Extract makes of a master key: the HMAC key of a key table in a unit's TPM."""

    __slots__ = ()


class TokenKey(_Secret):
    """The AES key of a NUC token, derived from a table's key and a key index."""

    __slots__ = ()
