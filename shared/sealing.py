"""What is signed and what is sealed in a session, byte for byte. Uses keys it is given; keeps none.

Signatures are ECDSA P-256 with SHA-256 over `signed_bytes`. The NUC hash crosses the cable under HPKE (RFC 9180, base
mode, DHKEM(P-256), HKDF-SHA256, AES-256-GCM), its `info` bound to the session's transcript.
"""

from __future__ import annotations

import hashlib
from typing import Final

from cryptography.exceptions import InvalidSignature, InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hpke import AEAD, KDF, KEM, Suite
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from shared.errors import BirthmarkError
from shared.messages import Body
from shared.types import NucHash, TableId

_HPKE: Final = Suite(KEM.P256, KDF.HKDF_SHA256, AEAD.AES_256_GCM)
_NUC_INFO: Final = b"birthmark nuc hash\0"


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


class NucOpener:
    """The station's half of one session's HPKE: a key pair made for it and forgotten with it."""

    def __init__(self) -> None:
        self._private = ec.generate_private_key(ec.SECP256R1())

    @property
    def public(self) -> bytes:
        """65 bytes, uncompressed point."""
        return self._private.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)

    def open(self, sealed: bytes, transcript: bytes) -> NucHash:
        """Raises `nuc.not-sealed-here` when it was sealed for another session, and `nuc.hash-*` for its content."""
        try:
            opened = _HPKE.decrypt(sealed, self._private, _NUC_INFO + transcript)
        except (InvalidTag, ValueError):
            raise BirthmarkError("nuc.not-sealed-here") from None
        return NucHash(opened)


def seal_nuc_hash(nuc_hash: NucHash, station_key: bytes, transcript: bytes) -> bytes:
    """Encapsulated key, ciphertext and tag. Raises `session.challenge-malformed` when the station's key is no key."""
    try:
        public = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), station_key)
    except ValueError:
        raise BirthmarkError("session.challenge-malformed", "its HPKE key is not a point of P-256") from None
    return _HPKE.encrypt(nuc_hash.secret(), public, _NUC_INFO + transcript)
