"""Birthmark's key derivation from a key table's master key, in software.

HKDF-SHA256 (RFC 5869) with no salt, info = key index as 4 bytes big-endian followed by `Birthmark`, 32 bytes out.
Expand for 32 bytes is a single HMAC, so a TPM that holds Extract's output can compute it.
"""

from __future__ import annotations

import hashlib
import hmac
from typing import Final

from shared.errors import BirthmarkError
from shared.types import KeyIndex

KEY_BYTES: Final = 32
_NO_SALT: Final = b"\0" * 32
_INFO_SUFFIX: Final = b"Birthmark"


def extract(master_key: bytes) -> bytes:
    """Return HKDF-Extract (RFC 5869 section 2.2) of a 32-byte master key: the 32-byte HMAC key in a unit's TPM.

    Raises `table.master-key-malformed`.
    """
    if len(master_key) != KEY_BYTES:
        raise BirthmarkError("table.master-key-malformed", f"it has {len(master_key)} bytes, not {KEY_BYTES}")
    return hmac.digest(_NO_SALT, master_key, hashlib.sha256)


def expand_input(index: KeyIndex) -> bytes:
    """Return the input of HKDF-Expand's one HMAC for `index` (RFC 5869 section 2.3): info and the octet 1."""
    return index.to_bytes(4, "big") + _INFO_SUFFIX + b"\x01"


def token_key(master_key: bytes, index: KeyIndex) -> bytes:
    """Return the 32-byte AES key of a NUC token for (`master_key`, `index`)."""
    return hmac.digest(extract(master_key), expand_input(index), hashlib.sha256)
