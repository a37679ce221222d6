"""The audit log: append-only; each row holds the hash of the one before. Writes inside the caller's transaction.

The head, a row of another table, records where the log ends. `station.registry.audit_check` finds tampering.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

import msgspec
import sqlalchemy as sa

from shared.errors import BirthmarkError
from station.registry.database import Connection, station_of
from station.registry.schema import audit, audit_head

GENESIS: Final = b"\0" * 32
"""The first row's hash of the one before."""


class Event(StrEnum):
    """The events that the log records."""

    INITIALISED = "initialised"
    CONFIGURED = "configured"
    IMPORTED = "imported"
    BACKED_UP = "backed-up"
    RESTORED = "restored"
    EXPORTED = "exported"
    RESERVED = "reserved"
    UNRESERVED = "unreserved"
    ISSUED = "issued"
    PROVISIONED = "provisioned"
    RENEWED = "renewed"
    RESUMED = "resumed"
    REFUSED = "refused"
    NOT_READY = "not-ready"
    RELEASED = "released"
    REVOKED = "revoked"
    REINSTATED = "reinstated"
    CRL_SIGNED = "crl-signed"
    STATION_CERTIFIED = "station-certified"
    STATION_REVOKED = "station-revoked"
    TOKEN_CREATED = "token-created"  # noqa: S105 - names of events
    TOKEN_REVOKED = "token-revoked"  # noqa: S105


@dataclass(frozen=True, slots=True)
class Row:
    seq: int
    at: int
    station: str
    event: str
    serial: str
    detail: str
    previous: bytes
    hash: bytes


def row_hash(seq: int, at: int, station: str, event: str, serial: str, detail: str, previous: bytes) -> bytes:
    """SHA-256 of all fields of a row in canonical MessagePack: 32 bytes."""
    return hashlib.sha256(msgspec.msgpack.encode([seq, at, station, event, serial, detail, previous])).digest()


async def append(connection: Connection, at: int, event: Event, serial: str, **detail: object) -> None:
    """Add a row. `at` is seconds since 1970; `detail` becomes JSON and may hold no secret.

    The caller needs a write transaction: its lock keeps two rows from following the same one. The new row follows the
    head, never the last row, so rows cut off at the end stay missing. Raises `audit.headless`.
    """
    head = (await connection.execute(sa.select(audit_head).with_for_update())).first()
    if head is None:
        raise BirthmarkError("audit.headless")
    seq, previous = head.seq + 1, head.hash
    text = msgspec.json.encode(detail, order="sorted").decode()
    station = station_of(connection)
    digest = row_hash(seq, at, station, event.value, serial, text, previous)
    values = {"seq": seq, "at": at, "station": station, "event": event.value, "serial": serial, "detail": text}
    await connection.execute(audit.insert().values(values | {"previous": previous, "hash": digest}))
    await connection.execute(audit_head.update().values(seq=seq, hash=digest))


def after(suppressed: int) -> dict[str, int]:
    """The detail of a row that stands for `suppressed` earlier ones of its port as well."""
    return {"suppressed_before": suppressed} if suppressed else {}


async def recorded_settings(connection: Connection) -> object:
    """Return the settings that the log recorded last (`settings` of INITIALISED or CONFIGURED), or None."""
    events = (Event.CONFIGURED.value, Event.INITIALISED.value)
    own = sa.and_(audit.c.event.in_(events), audit.c.station == station_of(connection))
    newest = sa.select(audit.c.detail).where(own).order_by(audit.c.seq.desc()).limit(1)
    detail = (await connection.execute(newest)).scalar()
    try:
        return msgspec.json.decode(detail, type=_Settings).settings if detail else None
    except msgspec.MsgspecError:  # tampered with: `audit verify` reports it
        return None


class _Settings(msgspec.Struct):
    settings: object = None


async def read(connection: Connection, *, since: int = 0) -> list[Row]:
    """Return the rows since `since` (seconds since 1970), oldest first."""
    found = await connection.execute(sa.select(audit).where(audit.c.at >= since).order_by(audit.c.seq))
    return [Row(**row._mapping) for row in found]
