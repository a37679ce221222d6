"""Wraps an HMAC key for TPM2_Import: only the TPM with the storage key decrypts it, and never gives it out."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from typing import Final

from shared.types import TableKey
from station.attestation.tpm2.protection import outer_wrap, share_seed
from station.attestation.tpm2.structures import Alg, Attributes, Public, object_name, sized

HMAC_KEY_ATTRIBUTES: Final = Attributes.USER_WITH_AUTH | Attributes.NO_DA | Attributes.SIGN
"""Part 2, 8.3. A TPM refuses fixedTPM and fixedParent on import, and an HMAC under a restricted key."""


@dataclass(frozen=True, slots=True)
class WrappedKey:
    """The input of TPM2_Import, marshalled, without inner wrapping; and the imported key's name."""

    public: bytes
    """TPM2B_PUBLIC (Part 2, 12.2.5)."""
    duplicate: bytes
    """TPM2B_PRIVATE (Part 2, 12.3.7)."""
    seed: bytes
    """TPM2B_ENCRYPTED_SECRET (Part 2, 11.4.3)."""
    name: bytes
    """34 bytes: TPM_ALG_SHA256 and the digest."""


def wrap_table_key(srk: Public, table_key: TableKey) -> WrappedKey:
    """Wrap a table's key, as an HMAC-SHA256 key, for the storage key `srk`.

    TCG TPM 2.0 Part 1, 23.3 (duplication). Raises `attestation.not-a-storage-key`.
    """
    key = table_key.secret()
    obfuscation = os.urandom(32)
    unique = hashlib.sha256(obfuscation + key).digest()
    public = (
        Alg.KEYEDHASH.to_bytes(2, "big")
        + Alg.SHA256.to_bytes(2, "big")
        + HMAC_KEY_ATTRIBUTES.to_bytes(4, "big")
        + sized(b"")  # authPolicy
        + Alg.HMAC.to_bytes(2, "big")
        + Alg.SHA256.to_bytes(2, "big")
        + sized(unique)
    )
    name = object_name(Alg.SHA256, public)
    sensitive = Alg.KEYEDHASH.to_bytes(2, "big") + sized(b"") + sized(obfuscation) + sized(key)
    seed, encrypted_seed = share_seed(srk, b"DUPLICATE")
    return WrappedKey(sized(public), sized(outer_wrap(srk, seed, name, sized(sensitive))), encrypted_seed, name)
