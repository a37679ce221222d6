"""Makes and consumes the one-time links that open the page; stores only their hashes.

A link has 128 random bits and two minutes, so plain SHA-256 protects it as well as a slow hash.
"""

from __future__ import annotations

import hashlib
import re
import secrets
from typing import Final

import sqlalchemy as sa

from station.registry.database import Connection, Database
from station.registry.schema import links

SECONDS: Final = 120
"""How long a link is good: enough to copy it from a terminal into a browser."""

OUTSTANDING_MAX: Final = 8
"""The most links that are good at one time; another ends the oldest."""

_BYTES: Final = 16
_SYNTAX: Final = re.compile(r"[A-Za-z0-9_-]{22}\Z")


async def create(connection: Connection, now: int) -> str:
    """Make a link. Returns its secret, which is not stored."""
    await connection.execute(links.delete().where(links.c.expires_at <= now))
    rows = await connection.execute(sa.select(links.c.id).order_by(links.c.id.desc()).offset(OUTSTANDING_MAX - 1))
    await connection.execute(links.delete().where(links.c.id.in_([row.id for row in rows])))
    secret = secrets.token_urlsafe(_BYTES)
    await connection.execute(links.insert().values(hash=_hash(secret), expires_at=now + SECONDS))
    return secret


async def consume(database: Database, secret: str, now: int) -> bool:
    """Whether there is such a link and it has not expired. It is good for nothing afterwards."""
    if not _SYNTAX.match(secret):
        return False
    this = sa.and_(links.c.hash == _hash(secret), links.c.expires_at > now)
    async with database.read() as connection:  # a wrong link must not make the registry write
        if (await connection.execute(sa.select(links.c.id).where(this))).first() is None:
            return False
    async with database.write() as connection:
        return bool((await connection.execute(links.delete().where(this))).rowcount)


def _hash(secret: str) -> bytes:
    return hashlib.sha256(secret.encode()).digest()
