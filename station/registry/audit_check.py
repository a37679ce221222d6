"""Verifies the audit log: finds rows that were changed, moved, removed or cut off.

Every row's hash covers all its fields and the hash of the row before; the head holds the last hash. Against an attacker
who rewrites the whole database and recomputes every hash, only a head noted elsewhere helps: `expected`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

import sqlalchemy as sa

from station.registry.audit import GENESIS, Row, row_hash
from station.registry.database import Connection
from station.registry.schema import audit, audit_head

_BATCH: Final = 5000
_SEARCHED: Final = 200
"""The most damaged rows that are searched for their original place; with more, all count as changed."""


class Damage(StrEnum):
    CHANGED = "changed"
    MOVED = "moved"
    REMOVED = "removed"
    REPLACED = "replaced"
    TRUNCATED = "truncated"
    HEAD = "head"


@dataclass(frozen=True, slots=True)
class Problem:
    """One kind of damage, with the first and last row that it concerns."""

    damage: Damage
    first: int
    last: int
    sentence: str


@dataclass(frozen=True, slots=True)
class Verification:
    """The result of a check. `seq` and `hash` are the last row's: note them elsewhere, pass them to the next check."""

    rows: int
    seq: int
    hash: bytes
    problems: tuple[Problem, ...]


async def verify(connection: Connection, expected: tuple[int, bytes] | None = None) -> Verification:
    """Check every row, in order. `expected` is a row's number and hash from an earlier check."""
    problems: list[Problem] = []
    broken: list[Row] = []
    missing: list[int] = []
    count, seq, previous = 0, 0, GENESIS
    noted = None
    async for row in _rows(connection):
        count += 1
        if row.seq < 1:
            broken.append(row)
            continue
        if row.seq > seq + 1:
            problems.append(_report_missing(Damage.REMOVED, seq + 1, row.seq - 1))
            missing.extend(range(seq + 1, min(row.seq, seq + 1 + _SEARCHED)))
        if not _hash_matches(row, row.seq):
            broken.append(row)
        elif row.seq == seq + 1 and row.previous != previous and not (broken and broken[-1].seq == seq):
            problems.append(
                Problem(Damage.REPLACED, row.seq, row.seq, f"row {row.seq} does not follow from row {seq} as it is now")
            )
        seq, previous = row.seq, row.hash
        if expected and row.seq == expected[0]:
            noted = row.hash
    problems += _classify_broken(broken, missing)
    problems += _check_head((await connection.execute(sa.select(audit_head))).first(), seq, previous)
    if expected and noted != expected[1]:
        problems.append(Problem(Damage.REPLACED, 1, expected[0], f"row {expected[0]} is not the one that was noted"))
    return Verification(count, seq, previous, tuple(sorted(problems, key=lambda problem: problem.first)))


async def _rows(connection: Connection) -> AsyncIterator[Row]:
    """Yield all rows in order, read in batches, since the log may be larger than memory."""
    after: int | None = None
    while True:
        query = sa.select(audit).order_by(audit.c.seq).limit(_BATCH)
        batch = (await connection.execute(query if after is None else query.where(audit.c.seq > after))).all()
        for row in batch:
            yield Row(**row._mapping)
        if len(batch) < _BATCH:
            return
        after = batch[-1].seq


def _report_missing(damage: Damage, first: int, last: int) -> Problem:
    which = f"row {first} is" if first == last else f"rows {first} to {last} are"
    return Problem(damage, first, last, f"{which} missing")


def _classify_broken(broken: list[Row], missing: list[int]) -> list[Problem]:
    """Sort damaged rows: a row whose hash matches another place was moved from there; any other was changed."""
    places = [row.seq for row in broken[:_SEARCHED]] + missing[:_SEARCHED]
    problems = []
    for row in broken:
        origin = next((seq for seq in places if _hash_matches(row, seq)), None) if len(broken) <= _SEARCHED else None
        if origin is None:
            problems.append(Problem(Damage.CHANGED, row.seq, row.seq, f"row {row.seq} was changed"))
        else:
            sentence = f"row {row.seq} was row {origin} and has been moved"
            problems.append(Problem(Damage.MOVED, row.seq, row.seq, sentence))
    return problems


def _hash_matches(row: Row, seq: int) -> bool:
    return row.hash == row_hash(seq, row.at, row.station, row.event, row.serial, row.detail, row.previous)


def _check_head(head: sa.Row[tuple[int, int, bytes]] | None, seq: int, last: bytes) -> list[Problem]:
    if head is None or not isinstance(head.seq, int):
        return [Problem(Damage.HEAD, seq, seq, "the record of where the log ends is missing")]
    if head.seq > seq:
        return [_report_missing(Damage.TRUNCATED, seq + 1, head.seq)]
    if head.seq != seq or head.hash != last:
        return [Problem(Damage.HEAD, seq, seq, f"row {seq} is not the one that the log was recorded to end with")]
    return []
