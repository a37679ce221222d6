"""The NUC token: a NUC hash encrypted under one table key, in Birthmark's format.

AES-256-GCM, 12-byte random nonce, no associated data; the ciphertext is 32 bytes and the tag 16.
"""

from __future__ import annotations

from typing import Annotated, Final

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from shared import limits
from shared.types import KeyIndex, NucHash, TableId, TokenKey

NONCE_BYTES: Final = 12
TAG_BYTES: Final = 16


def _hex_digits(octets: int) -> msgspec.Meta:
    return msgspec.Meta(pattern=rf"^[0-9a-fA-F]{{{octets * 2}}}\Z", max_length=octets * 2)


class NucToken(msgspec.Struct, frozen=True):
    """What a camera submits: hexadecimal text and two integers, the JSON of Birthmark's `camera_token`."""

    ciphertext: Annotated[str, _hex_digits(32)]
    auth_tag: Annotated[str, _hex_digits(TAG_BYTES)]
    nonce: Annotated[str, _hex_digits(NONCE_BYTES)]
    table_id: Annotated[int, msgspec.Meta(ge=0, lt=limits.TABLE_COUNT_MAX)]
    key_index: Annotated[int, msgspec.Meta(ge=0, lt=limits.KEYS_PER_TABLE)]


def seal_token(key: TokenKey, nonce: bytes, nuc_hash: NucHash, table: TableId, index: KeyIndex) -> NucToken:
    """Encrypt `nuc_hash` under the token key; `nonce` is 12 fresh random bytes."""
    sealed = AESGCM(key.secret()).encrypt(nonce, nuc_hash.secret(), None)
    return NucToken(
        ciphertext=sealed[:-TAG_BYTES].hex(),
        auth_tag=sealed[-TAG_BYTES:].hex(),
        nonce=nonce.hex(),
        table_id=table,
        key_index=index,
    )


def open_token(key: TokenKey, token: NucToken) -> bytes | None:
    """Decrypt a token: 32 bytes, not yet known to be a NUC hash. None for another key or a changed byte."""
    sealed = bytes.fromhex(token.ciphertext + token.auth_tag)
    try:
        return AESGCM(key.secret()).decrypt(bytes.fromhex(token.nonce), sealed, None)
    except InvalidTag:
        return None
