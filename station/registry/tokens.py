"""Creates, authenticates and revokes operators' bearer tokens; stores only their hashes.

A token is 256 random bits, so plain SHA-256 protects it as well as a slow hash, and an index finds it.
"""

from __future__ import annotations

import base64
import hashlib
import os
import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

import sqlalchemy as sa

from shared.errors import BirthmarkError
from shared.text import printable
from station.registry import audit
from station.registry.audit import Event
from station.registry.database import Connection, Database
from station.registry.schema import tokens

PREFIX: Final = "birthmark_"
"""Every token begins with it, so that a secret scanner, or a person, recognizes a leaked one."""

_SYNTAX: Final = re.compile(rf"{PREFIX}[A-Za-z0-9_-]{{43}}\Z")
_NAME_CHARACTERS: Final = 64
_TOUCH_SECONDS: Final = 60
"""Precision of `last_used_at`: a busy client costs one write a minute, not one a request."""


class Scope(StrEnum):
    """What a token allows. `admin` includes the others; they do not include each other."""

    READ = "read"
    PROVISION = "provision"
    ADMIN = "admin"


@dataclass(frozen=True, slots=True)
class Token:
    """A token without its secret."""

    id: int
    name: str
    scopes: frozenset[Scope]
    created_at: int
    expires_at: int | None
    revoked_at: int | None
    last_used_at: int | None

    def allows(self, scope: Scope) -> bool:
        return scope in self.scopes or Scope.ADMIN in self.scopes

    def valid(self, now: int) -> bool:
        return self.revoked_at is None and (self.expires_at is None or now < self.expires_at)


async def create(
    connection: Connection, name: str, scopes: frozenset[Scope], now: int, expires_at: int | None = None
) -> str:
    """Make a token. Returns its secret, which is not stored. Raises `access.token-exists` or `config.invalid`."""
    if not name or printable(name, _NAME_CHARACTERS) != name:
        raise BirthmarkError("config.invalid", f"a token's name is 1 to {_NAME_CHARACTERS} printable characters")
    if not scopes:
        raise BirthmarkError("config.invalid", "a token needs a scope")
    if expires_at is not None and expires_at <= now:
        raise BirthmarkError("config.invalid", "the token would have expired already")
    if await _find_by_name(connection, name) is not None:
        raise BirthmarkError("access.token-exists", name)
    secret = PREFIX + base64.urlsafe_b64encode(os.urandom(32)).rstrip(b"=").decode()
    text = " ".join(sorted(scopes))
    await connection.execute(
        tokens.insert().values(name=name, hash=_hash(secret), scopes=text, created_at=now, expires_at=expires_at)
    )
    await audit.append(connection, now, Event.TOKEN_CREATED, "", name=name, scopes=text, expires_at=expires_at)
    return secret


async def revoke(connection: Connection, name: str, now: int) -> Token:
    """End a token. Raises `access.token-unknown`."""
    found = await _find_by_name(connection, name)
    if found is None:
        raise BirthmarkError("access.token-unknown", printable(name, _NAME_CHARACTERS))
    await connection.execute(tokens.update().where(tokens.c.id == found.id).values(revoked_at=now))
    await audit.append(connection, now, Event.TOKEN_REVOKED, "", name=name)
    [token] = await _select(connection, tokens.c.id == found.id)
    return token


async def list_all(connection: Connection) -> list[Token]:
    """Return all tokens, also revoked and expired ones, the latest first."""
    return await _select(connection, sa.true())


async def authenticate(database: Database, secret: str, scope: Scope, now: int) -> Token:
    """Return the token with this secret, when it allows `scope`.

    Raises `access.denied` for an unknown, expired or revoked token, `access.scope-missing` for a valid token that does
    not allow `scope`.
    """
    if not _SYNTAX.match(secret):
        raise BirthmarkError("access.denied")
    async with database.read() as connection:
        found = await _select(connection, tokens.c.hash == _hash(secret))
    return await _require_valid(database, found, scope, now)


async def recheck(database: Database, token_id: int, scope: Scope, now: int) -> Token:
    """Return the token with this id, authenticated earlier, when it is still valid.

    Raises the errors of `authenticate`.
    """
    async with database.read() as connection:
        found = await _select(connection, tokens.c.id == token_id)
    return await _require_valid(database, found, scope, now)


async def _require_valid(database: Database, found: list[Token], scope: Scope, now: int) -> Token:
    if not found or not found[0].valid(now):
        raise BirthmarkError("access.denied")
    token = found[0]
    if not token.allows(scope):
        raise BirthmarkError("access.scope-missing", scope.value)
    if token.last_used_at is None or now - token.last_used_at >= _TOUCH_SECONDS:
        async with database.write() as connection:
            await connection.execute(tokens.update().where(tokens.c.id == token.id).values(last_used_at=now))
    return token


def _hash(secret: str) -> bytes:
    return hashlib.sha256(secret.encode()).digest()


async def _find_by_name(connection: Connection, name: str) -> Token | None:
    found = await _select(connection, sa.and_(tokens.c.name == name, tokens.c.revoked_at.is_(None)))
    return found[0] if found else None


async def _select(connection: Connection, condition: sa.ColumnElement[bool]) -> list[Token]:
    columns = [column for column in tokens.c if column.name in Token.__slots__]
    rows = await connection.execute(sa.select(*columns).where(condition).order_by(tokens.c.id.desc()))
    return [_token(row) for row in rows]


def _token(row: sa.Row[Any]) -> Token:
    return Token(**{**row._mapping, "scopes": frozenset(Scope(scope) for scope in row.scopes.split())})
