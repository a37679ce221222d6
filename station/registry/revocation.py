"""Revokes and reinstates units, and stores the CRL that `station.validation.revocation_list` signs.

RFC 5280 allows only certificateHold to be taken back: an operator revokes on hold and may reinstate, or revokes for
good with another reason. A released unit's certificate counts as revoked for good. Every change deletes the stored CRL
in the same transaction, so nobody gets a CRL that lacks it.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.errors import BirthmarkError
from station.registry import audit, units
from station.registry.audit import Event
from station.registry.records import Unit, UnitState
from station.registry.schema import crl
from station.registry.schema import units as table

_SKIPPED_NUMBERS: Final = 1_000_000
"""More CRLs than a station signs after a backup: over one a minute for a year."""


class RevocationCode(StrEnum):
    """A CRLReason of RFC 5280 section 5.3.1, by its name there."""

    HOLD = "certificateHold"
    KEY_COMPROMISE = "keyCompromise"
    AFFILIATION_CHANGED = "affiliationChanged"
    SUPERSEDED = "superseded"
    CESSATION = "cessationOfOperation"
    PRIVILEGE_WITHDRAWN = "privilegeWithdrawn"


@dataclass(frozen=True, slots=True)
class Entry:
    """An entry of the CRL."""

    certificate_serial: int
    revoked_at: int
    code: RevocationCode


@dataclass(frozen=True, slots=True)
class Stored:
    """The CRL signed last; `der` is None when something has changed since."""

    number: int
    signed_at: int
    der: bytes | None


async def revoke(
    connection: AsyncConnection, serial: str, code: RevocationCode, reason: str, now: int, by: str = ""
) -> Unit:
    """`issued` or `provisioned` → `revoked`; a unit on hold may also be revoked for good.

    The audit log records `by`: the name of a bearer token, empty for the command line.

    Raises `registry.unknown-unit` or `registry.already-revoked`.
    """
    unit = await units.active(connection, serial)
    if unit.state is UnitState.REVOKED and (unit.revoked_code != RevocationCode.HOLD or code is RevocationCode.HOLD):
        raise BirthmarkError("registry.already-revoked", serial)
    values = {"revoked_at": now, "revoked_reason": reason, "revoked_code": code.value}
    await _update(connection, unit.id, state=UnitState.REVOKED.value, **values)
    await audit.append(
        connection, now, Event.REVOKED, serial, certificate=unit.certificate_serial, code=code, reason=reason, by=by
    )
    return await units.by_id(connection, unit.id)


async def reinstate(connection: AsyncConnection, serial: str, reason: str, now: int, by: str = "") -> Unit:
    """Return a unit on hold to the state it was in before: `provisioned`, or `issued` when it never sent its receipt.

    Raises `registry.unknown-unit`, `registry.not-revoked` or `registry.revoked-for-good`.
    """
    unit = await units.active(connection, serial)
    if unit.state is not UnitState.REVOKED:
        raise BirthmarkError("registry.not-revoked", serial)
    if unit.revoked_code != RevocationCode.HOLD:
        raise BirthmarkError("registry.revoked-for-good", f"{serial}, {unit.revoked_code}")
    state = UnitState.ISSUED if unit.provisioned_at is None else UnitState.PROVISIONED
    await _update(connection, unit.id, state=state.value, revoked_at=None, revoked_reason=None, revoked_code=None)
    await audit.append(
        connection,
        now,
        Event.REINSTATED,
        serial,
        certificate=unit.certificate_serial,
        state=state,
        reason=reason,
        by=by,
    )
    return await units.by_id(connection, unit.id)


async def _update(connection: AsyncConnection, unit_id: int, **values: object) -> None:
    await connection.execute(table.update().where(table.c.id == unit_id).values(**values))
    await connection.execute(crl.update().values(der=None))


async def entries(connection: AsyncConnection, not_after: int) -> list[Entry]:
    """Revoked certificates that expire after `not_after` (seconds since 1970), by serial number."""
    columns = (table.c.certificate_serial, table.c.revoked_at, table.c.revoked_code, table.c.closed_at)
    gone = table.c.state.in_([UnitState.REVOKED.value, UnitState.RELEASED.value])
    found = await connection.execute(sa.select(*columns).where(gone, table.c.not_after > not_after))
    return sorted((_entry(row) for row in found), key=lambda entry: entry.certificate_serial)


def _entry(row: sa.Row[Any, Any, Any, Any]) -> Entry:
    number = int(row.certificate_serial, 16)
    released = row.closed_at is not None
    if row.revoked_code and not (released and row.revoked_code == RevocationCode.HOLD):
        return Entry(number, row.revoked_at, RevocationCode(row.revoked_code))
    return Entry(number, row.closed_at, RevocationCode.CESSATION)


async def stored(connection: AsyncConnection) -> Stored:
    row = (await connection.execute(sa.select(crl).with_for_update())).one()
    return Stored(row.number, row.signed_at, row.der)


async def store(connection: AsyncConnection, signed: Stored, count: int) -> None:
    """Store a new CRL of `count` entries, with its audit row."""
    await connection.execute(crl.update().values(number=signed.number, signed_at=signed.signed_at, der=signed.der))
    await audit.append(connection, signed.signed_at, Event.CRL_SIGNED, "", number=signed.number, entries=count)


async def skip_numbers(connection: AsyncConnection) -> None:
    """Give the next CRL a higher number than any signed after this registry was copied (RFC 5280, 5.2.3)."""
    await connection.execute(crl.update().values(number=crl.c.number + _SKIPPED_NUMBERS, der=None))
