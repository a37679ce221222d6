"""Stores the key tables' master keys as `station.secrets.key_tables` seals them: 60 bytes each."""

from __future__ import annotations

import sqlalchemy as sa

from shared.types import TableId, table_id
from station.registry.database import Connection
from station.registry.schema import key_tables


async def store(connection: Connection, sealed: dict[TableId, bytes]) -> None:
    """Store new key tables."""
    await connection.execute(key_tables.insert(), [{"id": table, "sealed": key} for table, key in sealed.items()])


async def read(connection: Connection) -> dict[TableId, bytes]:
    """Read all key tables, in ascending order of their ids."""
    rows = await connection.execute(sa.select(key_tables).order_by(key_tables.c.id))
    return {table_id(row.id): row.sealed for row in rows}
