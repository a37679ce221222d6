"""Birthmark's key derivation from a key table's master key, in software. No storage, no TPM.

HKDF-SHA256 (RFC 5869) with no salt, info = key index as 4 bytes big-endian followed by `Birthmark`, 32 bytes out.
Expand for 32 bytes is a single HMAC, which is what lets a TPM holding Extract's output do it alone.
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
    """HKDF-Extract (RFC 5869 section 2.2) of a 32-byte master key: the 32 bytes a unit's TPM keeps as an HMAC key."""
    if len(master_key) != KEY_BYTES:
        raise BirthmarkError("table.master-key-malformed", f"it has {len(master_key)} bytes, not {KEY_BYTES}")
    return hmac.digest(_NO_SALT, master_key, hashlib.sha256)


def expand_input(index: KeyIndex) -> bytes:
    """What HKDF-Expand (RFC 5869 section 2.3) feeds to its one HMAC for `index`: info followed by the octet 1."""
    return index.to_bytes(4, "big") + _INFO_SUFFIX + b"\x01"


def token_key(master_key: bytes, index: KeyIndex) -> bytes:
    """The 32-byte AES key of a NUC token for (`master_key`, `index`)."""
    return hmac.digest(extract(master_key), expand_input(index), hashlib.sha256)
