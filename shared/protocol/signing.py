"""What is signed and what is sealed in a session, byte for byte. Uses keys it is given; keeps none.

Signatures are ECDSA P-256 with SHA-256 over `signed_bytes`. The NUC hash crosses the cable under HPKE (RFC 9180, base
mode, DHKEM(P-256), HKDF-SHA256, AES-256-GCM), its `info` bound to the session's transcript.
"""

from __future__ import annotations

import hashlib

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from shared.errors import BirthmarkError
from shared.protocol.messages import Body
from shared.types import TableId


def signed_bytes(kind: type[Body], transcript: bytes, body: bytes) -> bytes:
    """What the signature of a signed message covers.

    `transcript` is the 32-byte digest before this message, `body` the body as it is sent. The tag keeps one kind of
    signature from standing for another, and from anything else the same key signs.
    """
    tag = str(kind.__struct_config__.tag).encode()
    return b"birthmark " + tag + b"\0" + transcript + body


def verify_signature(key: ec.EllipticCurvePublicKey, signature: bytes, signed: bytes, code: str) -> None:
    """Raises `code` when `signature` (DER) over `signed` is not `key`'s."""
    try:
        key.verify(signature, signed, ec.ECDSA(hashes.SHA256()))
    except InvalidSignature:
        raise BirthmarkError(code) from None


def stored_digest(chain: tuple[bytes, ...], table_ids: tuple[TableId, ...]) -> bytes:
    """32 bytes over the chain (DER, leaf first) and the table ids, each preceded by its length: what a unit holds."""
    digest = hashlib.sha256(b"birthmark stored\0")
    for part in (*chain, b",".join(str(table).encode() for table in table_ids)):
        digest.update(len(part).to_bytes(4, "big") + part)
    return digest.digest()
