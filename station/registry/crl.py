"""Stores the CRL of each scope that the authority signs, and numbers each one (RFC 5280 section 5.2.3)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import sqlalchemy as sa

from station.registry import audit
from station.registry.audit import Event
from station.registry.database import Connection
from station.registry.records import CrlScope
from station.registry.schema import crl

_SKIPPED_NUMBERS: Final = 1_000_000
"""More CRLs than a station signs after a backup: over one a minute for a year."""


@dataclass(frozen=True, slots=True)
class StoredCrl:
    """The CRL that was signed last."""

    number: int
    signed_at: int
    der: bytes | None
    """None when none was signed yet, or something has changed since."""


@dataclass(frozen=True, slots=True)
class CrlNumber:
    """A number for one CRL, and the changes that it will show."""

    number: int
    shows: int


async def stored(connection: Connection, scope: CrlScope) -> StoredCrl:
    """The CRL signed last, without its DER when it lacks a change."""
    row = (await connection.execute(sa.select(crl).where(crl.c.scope == scope.value))).one()
    return StoredCrl(row.number, row.signed_at, row.der if row.shows == row.changes else None)


async def take_number(connection: Connection, scope: CrlScope) -> CrlNumber:
    """Take the next number. A CRL with it shows at least every change that is committed by then."""
    taken = _row(scope).values(last_number=crl.c.last_number + 1).returning(crl.c.last_number, crl.c.changes)
    row = (await connection.execute(taken)).one()
    return CrlNumber(row.last_number, row.changes)


async def store(
    connection: Connection, scope: CrlScope, taken: CrlNumber, der: bytes, signed_at: int, count: int
) -> None:
    """Store a signed CRL of `count` entries, unless one with a higher number is stored; append its audit row."""
    values = {"number": taken.number, "shows": taken.shows, "signed_at": signed_at, "der": der}
    await connection.execute(_row(scope).where(crl.c.number < taken.number).values(values))
    detail = {"number": taken.number, "entries": count, "of": scope.value}
    await audit.append(connection, signed_at, Event.CRL_SIGNED, "", **detail)


async def note_change(connection: Connection, scope: CrlScope) -> None:
    """Note that a certificate was revoked or reinstated: a CRL signed before does not show it."""
    await connection.execute(_row(scope).values(changes=crl.c.changes + 1))


async def skip_numbers(connection: Connection) -> None:
    """Give the next CRL of each scope a higher number than any signed after this registry was copied."""
    skipped = {"last_number": crl.c.last_number + _SKIPPED_NUMBERS, "changes": crl.c.changes + 1}
    await connection.execute(crl.update().values(skipped))


def _row(scope: CrlScope) -> sa.Update:
    return crl.update().where(crl.c.scope == scope.value)
