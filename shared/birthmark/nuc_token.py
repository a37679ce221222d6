"""The NUC token: a NUC hash encrypted under one table key, in Birthmark's format.

AES-256-GCM, 12-byte random nonce, no associated data; the ciphertext is 32 bytes and the tag 16.
"""

from __future__ import annotations

from typing import Annotated, Final

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from shared import limits
from shared.errors import BirthmarkError
from shared.types import KeyIndex, NucHash, TableId

NONCE_BYTES: Final = 12
_TAG_BYTES: Final = 16


def _hex_digits(octets: int) -> msgspec.Meta:
    return msgspec.Meta(pattern=rf"^[0-9a-fA-F]{{{octets * 2}}}\Z", max_length=octets * 2)


class NucToken(msgspec.Struct, frozen=True):
    """What a camera submits: hexadecimal text and two integers, the JSON of Birthmark's `camera_token`."""

    ciphertext: Annotated[str, _hex_digits(32)]
    auth_tag: Annotated[str, _hex_digits(_TAG_BYTES)]
    nonce: Annotated[str, _hex_digits(NONCE_BYTES)]
    table_id: Annotated[int, msgspec.Meta(ge=0, lt=limits.TABLE_COUNT_MAX)]
    key_index: Annotated[int, msgspec.Meta(ge=0, lt=limits.KEYS_PER_TABLE)]


def seal_token(key: bytes, nonce: bytes, nuc_hash: NucHash, table: TableId, index: KeyIndex) -> NucToken:
    """Encrypt `nuc_hash` under the 32-byte token key; `nonce` is 12 fresh random bytes."""
    sealed = AESGCM(key).encrypt(nonce, nuc_hash.secret(), None)
    return NucToken(
        ciphertext=sealed[:-_TAG_BYTES].hex(),
        auth_tag=sealed[-_TAG_BYTES:].hex(),
        nonce=nonce.hex(),
        table_id=table,
        key_index=index,
    )


def open_token(key: bytes, token: NucToken) -> NucHash:
    """Decrypt a token. Raises `token.not-authentic` for another key or a changed byte."""
    sealed = bytes.fromhex(token.ciphertext) + bytes.fromhex(token.auth_tag)
    try:
        return NucHash(AESGCM(key).decrypt(bytes.fromhex(token.nonce), sealed, None))
    except InvalidTag:
        raise BirthmarkError("token.not-authentic") from None
