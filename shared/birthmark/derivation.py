"""Birthmark's key derivation from a key table's master key, in software.

HKDF-SHA256 (RFC 5869) with no salt, info = key index as 4 bytes big-endian followed by `Birthmark`, 32 bytes out.
Expand for 32 bytes is a single HMAC, so a TPM that holds Extract's output can compute it.
"""

from __future__ import annotations

import hashlib
import hmac
from typing import Final

from shared.types import KeyIndex, MasterKey, TableKey, TokenKey

_NO_SALT: Final = b"\0" * 32
_INFO_SUFFIX: Final = b"Birthmark"


def extract(master_key: MasterKey) -> TableKey:
    """Return HKDF-Extract (RFC 5869 section 2.2) of a master key: the HMAC key in a unit's TPM."""
    return TableKey(hmac.digest(_NO_SALT, master_key.secret(), hashlib.sha256))


def expand_input(index: KeyIndex) -> bytes:
    """Return the input of HKDF-Expand's one HMAC for `index` (RFC 5869 section 2.3): info and the octet 1."""
    return index.to_bytes(4, "big") + _INFO_SUFFIX + b"\x01"


def expand(table_key: TableKey, index: KeyIndex) -> TokenKey:
    """Return HKDF-Expand of a table's key for `index`, as a unit's TPM computes it."""
    return TokenKey(hmac.digest(table_key.secret(), expand_input(index), hashlib.sha256))


def token_key(master_key: MasterKey, index: KeyIndex) -> TokenKey:
    """Return the key of a NUC token for (`master_key`, `index`)."""
    return expand(extract(master_key), index)
