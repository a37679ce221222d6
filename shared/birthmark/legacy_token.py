"""The legacy form of a NUC token: one sealed text, and three pairs of table and key index of which one made it.

Birthmark's `/submit-legacy` takes this form, and its aggregator passes it on to the authority. Which of the three pairs
is the token's nobody says.
"""

from __future__ import annotations

import base64
import binascii
from typing import Annotated, Final

import msgspec
from msgspec import Meta

from shared import limits
from shared.birthmark.nuc_token import NONCE_BYTES, TAG_BYTES, NucToken
from shared.types import SECRET_BYTES

_SEALED_BYTES: Final = SECRET_BYTES + NONCE_BYTES + TAG_BYTES
_HEX_DIGITS: Final = 2 * _SEALED_BYTES
_HEX_DIGITS_OF_BASE64: Final = 2 * (_SEALED_BYTES // 3 * 4)

_Three = Meta(min_length=limits.TABLES_PER_UNIT, max_length=limits.TABLES_PER_UNIT)


class LegacyToken(msgspec.Struct, frozen=True):
    """The JSON of Birthmark's legacy validation."""

    ciphertext: Annotated[
        str,
        Meta(
            pattern=rf"^([0-9a-fA-F]{{{_HEX_DIGITS}}}|[0-9a-fA-F]{{{_HEX_DIGITS_OF_BASE64}}})\Z",
            max_length=_HEX_DIGITS_OF_BASE64,
            description="Ciphertext (32 bytes), nonce (12) and tag (16), in hexadecimal; or their base64, in "
            "hexadecimal, as the aggregator sends it.",
        ),
    ]
    table_references: Annotated[
        list[Annotated[int, Meta(ge=0, lt=limits.TABLE_COUNT_MAX)]],
        _Three,
        Meta(description="The table ids of the three pairs."),
    ]
    key_indices: Annotated[
        list[Annotated[int, Meta(ge=0, lt=limits.KEYS_PER_TABLE)]],
        _Three,
        Meta(description="The key indices of the three pairs, in the same order."),
    ]


def candidates(legacy: LegacyToken) -> tuple[NucToken, ...] | None:
    """Return the three NUC tokens that it may be, in order; None when its text is base64 of nothing sealed."""
    sealed = bytes.fromhex(legacy.ciphertext)
    if len(sealed) != _SEALED_BYTES:
        try:
            sealed = base64.b64decode(sealed, validate=True)
        except binascii.Error:
            return None
        if len(sealed) != _SEALED_BYTES:
            return None
    ciphertext, rest = sealed[:SECRET_BYTES], sealed[SECRET_BYTES:]
    nonce, tag = rest[:NONCE_BYTES], rest[NONCE_BYTES:]
    return tuple(
        NucToken(ciphertext.hex(), tag.hex(), nonce.hex(), table, index)
        for table, index in zip(legacy.table_references, legacy.key_indices, strict=True)
    )
