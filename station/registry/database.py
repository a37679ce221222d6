"""Opens and migrates the registry's database, and runs transactions on it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Final

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy.exc import DBAPIError, IntegrityError, OperationalError
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.errors import BirthmarkError
from station.registry import sqlite
from station.registry.violations import violation

__all__ = ["Connection", "Database", "create", "migrate", "station_of"]

Connection = AsyncConnection
"""One transaction, as the functions of this package take it."""

_MIGRATIONS: Final = Path(__file__).parent / "migrations"
_STATION: Final = "birthmark_station"


class Database:
    """The registry at one address. `read` and `write` each open a transaction, which commits when its block ends.

    Both may be cancelled at any point, and again while they clean up. A write cancelled before its commit is rolled
    back. A write cancelled during its commit is stored whole or not at all; a caller that must know which reads again.
    """

    def __init__(self, url: str, station: str) -> None:
        """`url` as `station.registry.location` makes it; `station` is named in every audit row that is written."""
        self._engine: Final = sqlite.Engine(url)
        self._station: Final = station
        self._turn: Final = asyncio.Lock()

    @asynccontextmanager
    async def read(self) -> AsyncIterator[Connection]:
        """Open a transaction that sees one moment of the registry. Raises `registry.unavailable`."""
        async with self._transaction("BEGIN") as connection:
            yield connection

    @asynccontextmanager
    async def write(self) -> AsyncIterator[Connection]:
        """A transaction that holds the one write lock from its start, so what it reads cannot change under it.

        Transactions of this process take turns. SQLite itself has no queue: a unit's would have to win the lock against
        those of every port that is refused, and with many of them might not do so in time.

        Raises `registry.unavailable` when the lock cannot be had in time or the disk refuses, and the errors of
        `station.registry.violations`; nothing is then written.
        """
        async with self._turn, self._transaction("BEGIN IMMEDIATE") as connection:
            yield connection

    @asynccontextmanager
    async def _transaction(self, begin: str) -> AsyncIterator[Connection]:
        with _translated():
            async with self._engine.connect() as connection:
                await connection.execution_options(**{sqlite.BEGIN: begin, _STATION: self._station})
                async with connection.begin():
                    yield connection

    async def close(self) -> None:
        await self._engine.close()


def station_of(connection: Connection) -> str:
    """The name of the station whose transaction it is."""
    opened = connection.sync_connection
    name: str = opened.get_execution_options()[_STATION] if opened else ""
    return name


@contextmanager
def _translated() -> Iterator[None]:
    """Errors of the database as errors of ours."""
    try:
        yield
    except IntegrityError as error:
        raise violation(error) from error
    except (DBAPIError, sa.exc.TimeoutError) as error:
        raise BirthmarkError("registry.unavailable", str(getattr(error, "orig", None) or error)) from error


def create(url: str) -> None:
    """Make an empty registry, private from the first moment."""
    sqlite.create_file(url)
    migrate(url)


def migrate(url: str) -> None:
    """Bring the registry to the newest schema. Raises `registry.too-new` or `registry.unavailable`."""
    engine = sqlite.sync_engine(url)
    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS).replace("%", "%%"))
    try:
        with _translated(), engine.connect() as connection:
            if _is_newer(config, connection):
                raise BirthmarkError("registry.too-new", url)
            config.attributes["connection"] = connection.execution_options(**{sqlite.BEGIN: "BEGIN IMMEDIATE"})
            command.upgrade(config, "head")
    finally:
        engine.dispose()


def _is_newer(config: Config, connection: sa.Connection) -> bool:
    try:
        version = connection.execute(sa.text("SELECT version_num FROM alembic_version")).scalar()
    except OperationalError as error:
        if "no such table" in str(error.orig):
            return False
        raise
    finally:
        connection.rollback()
    known = {script.revision for script in ScriptDirectory.from_config(config).walk_revisions()}
    return version is not None and version not in known
