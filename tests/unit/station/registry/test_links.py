"""A link is good once, for two minutes, and only so many are good at one time."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from station.registry import database, links
from station.registry.database import Database
from station.registry.location import registry_url
from station.registry.schema import links as table

NOW = 1_795_500_000


@pytest.fixture
async def registry(tmp_path: Path) -> AsyncIterator[Database]:
    database.create(registry_url(tmp_path))
    opened = Database(registry_url(tmp_path), "bench")
    yield opened
    await opened.close()


async def made(registry: Database, now: int = NOW) -> str:
    async with registry.write() as connection:
        return await links.create(connection, now)


async def test_a_link_is_good_once_and_its_secret_is_not_stored(registry: Database, tmp_path: Path) -> None:
    secret = await made(registry)
    assert not any(secret.encode() in path.read_bytes() for path in tmp_path.iterdir())
    assert not await links.consume(registry, secret[:-1] + ("A" if secret[-1] != "A" else "B"), NOW)
    assert await links.consume(registry, secret, NOW)
    assert not await links.consume(registry, secret, NOW)


async def test_a_link_is_good_for_two_minutes(registry: Database) -> None:
    early, late = await made(registry), await made(registry)
    assert await links.consume(registry, early, NOW + 119)
    assert not await links.consume(registry, late, NOW + 120)


async def test_only_so_many_links_are_good_at_one_time(registry: Database) -> None:
    secrets = [await made(registry) for _ in range(links.OUTSTANDING_MAX + 3)]
    async with registry.read() as connection:
        assert (await connection.execute(sa.select(sa.func.count()).select_from(table))).scalar() == 8
    good = [await links.consume(registry, secret, NOW) for secret in secrets]
    assert good == [False] * 3 + [True] * links.OUTSTANDING_MAX


async def test_expired_links_are_removed(registry: Database) -> None:
    await made(registry)
    await made(registry, NOW + links.SECONDS)
    async with registry.read() as connection:
        assert (await connection.execute(sa.select(sa.func.count()).select_from(table))).scalar() == 1
