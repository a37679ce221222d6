"""The authority's key tables: makes them once, stores them sealed in the registry, chooses three for each unit.

A table is one 32-byte master key; `shared.birthmark.derivation` derives its thousand keys. In the registry each master
key is encrypted with AES-256-GCM under a key of the station secret; the table's id is the associated data, so rows
cannot be exchanged.
"""

from __future__ import annotations

import os
import secrets
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from shared import limits
from shared.errors import BirthmarkError
from shared.types import SECRET_BYTES, MasterKey, TableId, table_id
from station.registry import key_tables
from station.registry.database import Connection
from station.secrets.station_secret import StationSecret

_NONCE_BYTES: Final = 12
_PURPOSE: Final = "key tables"


class KeyTables:
    """All master keys of this authority, decrypted."""

    def __init__(self, master_keys: dict[TableId, MasterKey]) -> None:
        self._master_keys = master_keys

    def __len__(self) -> int:
        return len(self._master_keys)

    def master_key(self, table: TableId) -> MasterKey:
        """Raises `table.unknown`."""
        try:
            return self._master_keys[table]
        except KeyError:
            raise BirthmarkError("table.unknown", str(table)) from None

    def ids(self) -> list[TableId]:
        """In ascending order."""
        return sorted(self._master_keys)

    def choose(self) -> tuple[TableId, ...]:
        """Choose three different tables at random, all equally likely; in ascending order."""
        chosen = secrets.SystemRandom().sample(sorted(self._master_keys), limits.TABLES_PER_UNIT)
        return tuple(sorted(chosen))


async def create(connection: Connection, secret: StationSecret, count: int) -> None:
    """Make `count` tables (3 to 2,500) and store them sealed."""
    await store(connection, secret, {table_id(table): MasterKey(os.urandom(SECRET_BYTES)) for table in range(count)})


async def store(connection: Connection, secret: StationSecret, master_keys: dict[TableId, MasterKey]) -> None:
    """Store master keys, sealed."""
    aead = AESGCM(secret.key(_PURPOSE))
    await key_tables.store(connection, {table: _seal(aead, table, key) for table, key in master_keys.items()})


async def load(connection: Connection, secret: StationSecret) -> KeyTables:
    """Decrypt all tables. Raises `table.unsealable` when that fails, `data.incomplete` when there are too few."""
    aead = AESGCM(secret.key(_PURPOSE))
    sealed = await key_tables.read(connection)
    if len(sealed) < limits.TABLE_COUNT_MIN:
        raise BirthmarkError("data.incomplete", f"the registry has {len(sealed)} key tables")
    return KeyTables({table: _open(aead, table, key) for table, key in sealed.items()})


def _seal(aead: AESGCM, table: TableId, master_key: MasterKey) -> bytes:
    nonce = os.urandom(_NONCE_BYTES)
    return nonce + aead.encrypt(nonce, master_key.secret(), _associated_data(table))


def _open(aead: AESGCM, table: TableId, sealed: bytes) -> MasterKey:
    try:
        return MasterKey(aead.decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], _associated_data(table)))
    except (InvalidTag, ValueError):
        raise BirthmarkError("table.unsealable", str(table)) from None


def _associated_data(table: TableId) -> bytes:
    return b"key table " + str(table).encode()
