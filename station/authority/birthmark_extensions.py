"""Writes Birthmark's certificate extensions (1.3.6.1.4.1.60000.1) and reads them as strictly as Birthmark's parser.

Each extension's value is raw bytes, not DER, as in Birthmark's public code. A certificate has all six or none; none
is critical. docs/decisions/0005 says what the encrypted NUC hash reveals, and to whom.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from typing import Final

from cryptography import x509
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from shared.errors import BirthmarkError
from shared.types import KeyIndex, MasterKey, NucHash, TableId, key_index, table_id
from shared.x509_profile import BIRTHMARK_ARC

_OIDS: Final = tuple(x509.ObjectIdentifier(f"{BIRTHMARK_ARC}.1.{number}") for number in range(1, 7))
_NONCE_BYTES: Final = 12
_ENCRYPTED_BYTES: Final = 32 + 16 + _NONCE_BYTES
_TEXT_BYTES: Final = 255
_URL: Final = re.compile(r"https?://")


@dataclass(frozen=True, slots=True)
class BirthmarkFacts:
    """The content of the six extensions, in the order of their numbers."""

    authority_id: str
    endpoint: str
    """URL of the authority's `/validate-cert`."""
    encrypted_nuc: bytes
    """60 bytes: ciphertext 32, tag 16, nonce 12."""
    table: TableId
    index: KeyIndex
    """Random and unused: the NUC hash is encrypted under the table's master key itself."""
    family: str


def encrypt_nuc(master_key: MasterKey, nuc_hash: NucHash) -> bytes:
    """Encrypt with AES-256-GCM under the table's master key.

    Returns 60 bytes in Birthmark's order: ciphertext, tag, nonce.
    """
    nonce = os.urandom(_NONCE_BYTES)
    return AESGCM(master_key.secret()).encrypt(nonce, nuc_hash.secret(), None) + nonce


def decrypt_nuc(master_key: MasterKey, encrypted: bytes) -> NucHash | None:
    """Decrypt what `encrypt_nuc` made; None for another key, or for what is no NUC hash."""
    sealed, nonce = encrypted[:-_NONCE_BYTES], encrypted[-_NONCE_BYTES:]
    try:
        return NucHash(AESGCM(master_key.secret()).decrypt(nonce, sealed, None))
    except (InvalidTag, ValueError, BirthmarkError):
        return None


def extensions(facts: BirthmarkFacts) -> list[x509.UnrecognizedExtension]:
    """The six extensions in the order of their numbers, to be added as not critical."""
    values = (
        facts.authority_id.encode(),
        facts.endpoint.encode(),
        facts.encrypted_nuc,
        facts.table.to_bytes(2, "big"),
        facts.index.to_bytes(2, "big"),
        facts.family.encode(),
    )
    return [x509.UnrecognizedExtension(oid, value) for oid, value in zip(_OIDS, values, strict=True)]


def read(certificate: x509.Certificate) -> BirthmarkFacts | None:
    """Read the extensions of a certificate as Birthmark's parser does; None when it has none of the six.

    Raises `authority.extensions-malformed` for extensions that the parser would refuse.
    """
    held = {e.oid: e.value.value for e in certificate.extensions if isinstance(e.value, x509.UnrecognizedExtension)}
    values = [held.get(oid) for oid in _OIDS]
    if not any(value is not None for value in values):
        return None
    authority_id, endpoint, encrypted, table, index, family = (value or b"" for value in values)
    if len(encrypted) != _ENCRYPTED_BYTES or len(table) != 2 or len(index) != 2:
        raise BirthmarkError("authority.extensions-malformed", "a length is wrong")
    facts = BirthmarkFacts(
        _text(authority_id),
        _text(endpoint),
        encrypted,
        table_id(int.from_bytes(table, "big")),
        key_index(int.from_bytes(index, "big")),
        _text(family),
    )
    if not _URL.match(facts.endpoint):
        raise BirthmarkError("authority.extensions-malformed", "the endpoint is no URL")
    return facts


def _text(value: bytes) -> str:
    try:
        text = value.decode()
    except UnicodeDecodeError:
        raise BirthmarkError("authority.extensions-malformed", "a text is not UTF-8") from None
    if not 1 <= len(text) <= _TEXT_BYTES:
        raise BirthmarkError("authority.extensions-malformed", "a text is empty or too long")
    return text
