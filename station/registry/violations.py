"""What a violated constraint means: the code of the error that says whose place is taken."""

from __future__ import annotations

from typing import Final

from sqlalchemy.exc import IntegrityError

from shared.errors import BirthmarkError, ErrorCode

_CODES: Final[dict[str, ErrorCode]] = {
    "index 'units_active_serial'": "registry.serial-taken",
    "units.ek_fingerprint": "registry.ek-taken",
    "units.device_fingerprint": "registry.device-key-taken",
    "units.nuc_blind_index": "registry.duplicate-nuc",
    "certificates.serial": "registry.certificate-taken",
    "certificates.sha256": "registry.certificate-taken",
    "certificates.unit_id": "registry.certificate-requested",
    "tokens.name": "access.token-exists",
}
"""The column of a unique index, or the name of an index of an expression → the error.

Which unit has the place is found by looking once more."""

TAKEN: Final = frozenset(code for code in _CODES.values() if code.startswith("registry."))
"""Errors of a place that another transaction took in between: whoever looks once more finds out which unit has it."""


def violation(error: IntegrityError) -> BirthmarkError:
    """The error for a violated constraint; `registry.inconsistent` for one that no caller can have meant to try."""
    text = str(error.orig)  # SQLite: "UNIQUE constraint failed: units.ek_fingerprint"
    columns = text.rpartition(": ")[2].split(", ")
    code: ErrorCode = next((_CODES[column] for column in columns if column in _CODES), "registry.inconsistent")
    return BirthmarkError(code, "" if code in TAKEN else text)
