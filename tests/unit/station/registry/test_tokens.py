"""Operators' bearer tokens: what the registry stores, what a token allows, and when it ends."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from shared.errors import BirthmarkError
from station.registry import audit, tokens
from station.registry.tokens import Scope, Token
from tests.harness.bare_station import NOW, BareStation, open_bare_station

READ = frozenset({Scope.READ})


async def make(
    bare_station: BareStation, scopes: frozenset[Scope] = READ, name: str = "ci", expires_at: int | None = None
) -> str:
    async with bare_station.database.write() as connection:
        return await tokens.create(connection, name, scopes, NOW, expires_at)


async def use(bare_station: BareStation, secret: str, scope: Scope = Scope.READ, now: int = NOW) -> Token:
    return await tokens.authenticate(bare_station.database, secret, scope, now)


async def code(bare_station: BareStation, secret: str, scope: Scope = Scope.READ, now: int = NOW) -> str:
    with pytest.raises(BirthmarkError) as raised:
        await use(bare_station, secret, scope, now)
    return raised.value.code


@pytest.mark.parametrize("held", list(Scope))
@pytest.mark.parametrize("asked", list(Scope))
async def test_a_scope_allows_itself_and_admin_allows_all(tmp_path: Path, held: Scope, asked: Scope) -> None:
    async with open_bare_station(tmp_path) as bare_station:
        secret = await make(bare_station, frozenset({held}))
        if held in (asked, Scope.ADMIN):
            assert (await use(bare_station, secret, asked)).name == "ci"
        else:
            assert await code(bare_station, secret, asked) == "access.scope-missing"


async def test_the_registrys_files_hold_no_token(tmp_path: Path) -> None:
    async with open_bare_station(tmp_path) as bare_station:
        secret = await make(bare_station)
        await use(bare_station, secret)
    files = b"".join(path.read_bytes() for path in tmp_path.glob("registry.sqlite*"))
    assert b"ci" in files
    assert secret.encode() not in files
    assert secret.removeprefix(tokens.PREFIX).encode() not in files


async def test_a_revoked_token_is_denied_at_once_and_its_name_is_free(tmp_path: Path) -> None:
    async with open_bare_station(tmp_path) as bare_station:
        secret = await make(bare_station)
        async with bare_station.database.write() as connection:
            await tokens.revoke(connection, "ci", NOW)
        assert await code(bare_station, secret) == "access.denied"
        again = await make(bare_station)
        assert again != secret
        await use(bare_station, again)


async def test_a_token_is_good_until_the_second_it_expires(tmp_path: Path) -> None:
    async with open_bare_station(tmp_path) as bare_station:
        secret = await make(bare_station, expires_at=NOW + 10)
        await use(bare_station, secret, now=NOW + 9)
        assert await code(bare_station, secret, now=NOW + 10) == "access.denied"


@pytest.mark.parametrize(
    "change", [lambda s: s[:-1], lambda s: s + "A", lambda s: s.upper(), lambda s: "", lambda s: s[:20] + "\0" + s[21:]]
)
async def test_anything_but_the_token_itself_is_denied(tmp_path: Path, change: Callable[[str], str]) -> None:
    async with open_bare_station(tmp_path) as bare_station:
        assert await code(bare_station, change(await make(bare_station))) == "access.denied"


async def test_a_name_is_taken_while_its_token_is_not_revoked(tmp_path: Path) -> None:
    async with open_bare_station(tmp_path) as bare_station:
        await make(bare_station)
        with pytest.raises(BirthmarkError) as raised:
            await make(bare_station)
        assert raised.value.code == "access.token-exists"


@pytest.mark.parametrize(
    ("name", "scopes", "expires_at"),
    [("", READ, None), ("a\nb", READ, None), ("x" * 65, READ, None), ("ok", frozenset(), None), ("ok", READ, NOW)],
)
async def test_a_token_with_an_invalid_name_scope_or_time_is_not_made(
    tmp_path: Path, name: str, scopes: frozenset[Scope], expires_at: int | None
) -> None:
    async with open_bare_station(tmp_path) as bare_station:
        with pytest.raises(BirthmarkError) as raised:
            await make(bare_station, scopes, name, expires_at)
        assert raised.value.code == "config.invalid"


async def test_revoking_an_unknown_token_is_refused(tmp_path: Path) -> None:
    async with open_bare_station(tmp_path) as bare_station:
        with pytest.raises(BirthmarkError) as raised:
            async with bare_station.database.write() as connection:
                await tokens.revoke(connection, "nobody", NOW)
        assert raised.value.code == "access.token-unknown"


async def test_the_last_use_is_known_to_the_minute(tmp_path: Path) -> None:
    async with open_bare_station(tmp_path) as bare_station:
        secret = await make(bare_station)
        used = []
        for now in (NOW, NOW + 59, NOW + 60):
            await use(bare_station, secret, now=now)
            async with bare_station.database.read() as connection:
                used.append((await tokens.list_all(connection))[0].last_used_at)
        assert used == [NOW, NOW, NOW + 60]


async def test_making_and_revoking_are_in_the_audit_log_without_the_secret(tmp_path: Path) -> None:
    async with open_bare_station(tmp_path) as bare_station:
        secret = await make(bare_station)
        async with bare_station.database.write() as connection:
            await tokens.revoke(connection, "ci", NOW)
        async with bare_station.database.read() as connection:
            rows = await audit.read(connection)
        assert [row.event for row in rows] == ["token-created", "token-revoked"]
        assert all(secret not in row.detail for row in rows)


async def test_two_tokens_never_share_a_hash(tmp_path: Path) -> None:
    async with open_bare_station(tmp_path) as bare_station:
        await make(bare_station, name="a")
        await make(bare_station, name="b")
    connection = sqlite3.connect(tmp_path / "registry.sqlite")
    with pytest.raises(sqlite3.IntegrityError):
        connection.execute("UPDATE tokens SET hash = zeroblob(32)")
    connection.close()
