"""Defines the bytes that a session's signatures cover, and verifies them.

Signatures are ECDSA P-256 with SHA-256 over `signed_bytes`.
"""

from __future__ import annotations

import hashlib

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from shared.errors import BirthmarkError, ErrorCode
from shared.protocol.messages import Body
from shared.types import TableId


def signed_bytes(kind: type[Body], transcript: bytes, body: bytes) -> bytes:
    """Return the bytes that the signature of a signed message covers.

    `transcript` is the 32-byte digest before this message, `body` the body as sent. The tag separates the kinds of
    signatures from each other and from anything else that the key signs.
    """
    tag = str(kind.__struct_config__.tag).encode()
    return b"birthmark " + tag + b"\0" + transcript + body


def verify_signature(key: ec.EllipticCurvePublicKey, signature: bytes, signed: bytes, code: ErrorCode) -> None:
    """Verify `signature` (DER) of `key` over `signed`. Raises `code`."""
    try:
        key.verify(signature, signed, ec.ECDSA(hashes.SHA256()))
    except InvalidSignature:
        raise BirthmarkError(code) from None


def stored_digest(chain: tuple[bytes, ...], table_ids: tuple[TableId, ...]) -> bytes:
    """Return the digest of what a unit stores.

    32 bytes over each certificate of the chain (DER, leaf first) and the list of table ids, each after its length.
    """
    digest = hashlib.sha256(b"birthmark stored\0")
    for part in (*chain, b",".join(str(table).encode() for table in table_ids)):
        digest.update(len(part).to_bytes(4, "big") + part)
    return digest.digest()
