"""What the registry knows a public key by. One place, for a key must be known again however it comes in."""

from __future__ import annotations

import hashlib

from cryptography.hazmat.primitives.asymmetric.types import PublicKeyTypes
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat


def key_fingerprint(key: PublicKeyTypes) -> bytes:
    """32 bytes, SHA-256 of the SubjectPublicKeyInfo, DER."""
    return hashlib.sha256(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).digest()
