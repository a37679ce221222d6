"""The audit log: append-only, each row carrying the hash of the one before. Written inside the caller's transaction."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

import msgspec
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from station.registry.schema import audit

GENESIS: Final = b"\0" * 32
"""What the first row carries as the hash of the one before."""


class Event(StrEnum):
    """What is recorded: everything issued, refused, released, revoked or configured."""

    INITIALISED = "initialised"
    ISSUED = "issued"
    PROVISIONED = "provisioned"
    RESUMED = "resumed"
    REFUSED = "refused"
    RELEASED = "released"


@dataclass(frozen=True, slots=True)
class Row:
    seq: int
    at: int
    event: str
    serial: str
    detail: str
    previous: bytes
    hash: bytes


def row_hash(seq: int, at: int, event: str, serial: str, detail: str, previous: bytes) -> bytes:
    """32 bytes over every field of a row, in an encoding that has one form only."""
    return hashlib.sha256(msgspec.msgpack.encode([seq, at, event, serial, detail, previous])).digest()


async def append(connection: AsyncConnection, at: int, event: Event, serial: str, **detail: object) -> None:
    """Add a row. `at` is seconds since 1970; `detail` becomes JSON and may hold no secret.

    The transaction must be a writing one: its lock is what makes the chain a chain.
    """
    last = (await connection.execute(sa.select(audit).order_by(audit.c.seq.desc()).limit(1))).first()
    seq, previous = (last.seq + 1, last.hash) if last else (1, GENESIS)
    text = msgspec.json.encode(detail, order="sorted").decode()
    await connection.execute(
        audit.insert().values(
            seq=seq,
            at=at,
            event=event.value,
            serial=serial,
            detail=text,
            previous=previous,
            hash=row_hash(seq, at, event.value, serial, text, previous),
        )
    )


async def read(connection: AsyncConnection, *, since: int = 0) -> list[Row]:
    """All rows from `since` (seconds since 1970) on, oldest first."""
    found = await connection.execute(sa.select(audit).where(audit.c.at >= since).order_by(audit.c.seq))
    return [Row(**row._mapping) for row in found]
