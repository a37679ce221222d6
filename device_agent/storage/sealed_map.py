"""Reads, hashes, seals and opens the NUC map file. The NUC hash is its SHA-256; `nuc_map` defines its content."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from runtime.files import TooLargeError, read_bounded, read_regular
from shared import limits
from shared.errors import BirthmarkError
from shared.types import NucHash

_ASSOCIATED: Final = b"birthmark nuc map"
_NONCE_BYTES: Final = 12
_TAG_BYTES: Final = 16


@dataclass(frozen=True)
class NucMap:
    """The bytes of a NUC map file; they are secret."""

    data: bytes

    @cached_property
    def hash(self) -> NucHash:
        """Computed once: a map has up to 64 MiB."""
        return NucHash(hashlib.sha256(self.data).digest())

    def __repr__(self) -> str:
        return f"NucMap({len(self.data)} bytes, hidden)"


def read_nuc_map(path: Path) -> NucMap:
    """Read a NUC map file. Raises `nuc.map-missing`, `nuc.map-empty`, `nuc.map-too-large` or `nuc.map-unreadable`."""
    try:
        data = read_bounded(path, limits.NUC_MAP_BYTES)
    except FileNotFoundError:
        raise BirthmarkError("nuc.map-missing", str(path)) from None
    except TooLargeError:
        raise BirthmarkError("nuc.map-too-large", str(path)) from None
    except OSError as error:
        raise BirthmarkError("nuc.map-unreadable", f"{path}: {error.strerror}") from error
    if not data:
        raise BirthmarkError("nuc.map-empty", str(path))
    return NucMap(data)


def missing_map(path: Path) -> BirthmarkError | None:
    """Return why `read_nuc_map` would find no map there, without reading it."""
    try:
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
    except FileNotFoundError:
        return BirthmarkError("nuc.map-missing", str(path))
    except OSError as error:
        return BirthmarkError("nuc.map-unreadable", f"{path}: {error.strerror}")
    return None if size else BirthmarkError("nuc.map-empty", str(path))


def seal_map(nuc_map: NucMap, key: bytes) -> bytes:
    """Encrypt with AES-256-GCM under a 32-byte key; return nonce (12 bytes), ciphertext and tag (16 bytes)."""
    nonce = os.urandom(_NONCE_BYTES)
    return nonce + AESGCM(key).encrypt(nonce, nuc_map.data, _ASSOCIATED)


def open_map(sealed: Path, key: bytes) -> NucMap:
    """Decrypt a sealed map. Raises `identity.damaged` for an unreadable file or another `key`."""
    try:
        data = read_regular(sealed, limits.NUC_MAP_BYTES + _NONCE_BYTES + _TAG_BYTES)
        return NucMap(AESGCM(key).decrypt(data[:_NONCE_BYTES], data[_NONCE_BYTES:], _ASSOCIATED))
    except (OSError, InvalidTag, ValueError):
        raise BirthmarkError("identity.damaged", str(sealed)) from None
