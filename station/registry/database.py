"""Opens and migrates the registry's database, and runs transactions on it."""

from __future__ import annotations

import asyncio
import os
import sqlite3
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any, Final

import aiosqlite
import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy.exc import DBAPIError, IntegrityError, OperationalError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from shared.errors import BirthmarkError

BUSY_SECONDS: Final = 30.0
"""A transaction waits this long for another one, or for a backup, before it fails."""

_MIGRATIONS: Final = Path(__file__).parent / "migrations"


class Database:
    """SQLite in one file. `read` and `write` each open a transaction, which commits when its block ends.

    Both may be cancelled at any point, and again while they clean up. A write cancelled before its commit is rolled
    back. A write cancelled during its commit is stored whole or not at all; a caller that must know which reads again.
    """

    def __init__(self, path: Path) -> None:
        self._ending: Final[set[asyncio.Future[object]]] = set()
        self._engine: Final[AsyncEngine] = create_async_engine(
            sa.URL.create("sqlite+aiosqlite", database=str(path)),
            connect_args={"timeout": BUSY_SECONDS, "async_creator_fn": self._open},
        )
        _make_transactions_real(self._engine.sync_engine)
        self._turn: Final = asyncio.Lock()

    @asynccontextmanager
    async def read(self) -> AsyncIterator[AsyncConnection]:
        """Open a transaction that sees one moment of the registry. Raises `registry.unavailable`."""
        with _translated():
            async with self._engine.connect() as connection:
                await connection.execution_options(birthmark_begin="BEGIN")
                async with connection.begin():
                    yield connection

    @asynccontextmanager
    async def write(self) -> AsyncIterator[AsyncConnection]:
        """Open a transaction that holds the write lock from its start, so what it reads stays as it is until it ends.

        The write transactions of this process take turns, because SQLite has no queue: without one, many refused ports
        could keep a unit's transaction from the lock until it times out.

        Raises `registry.unavailable` when the lock is not free in time or the disk fails; then writes nothing.
        """
        with _translated():
            async with self._turn, self._engine.connect() as connection:
                await connection.execution_options(birthmark_begin="BEGIN IMMEDIATE")
                async with connection.begin():
                    yield connection

    async def close(self) -> None:
        """Close every connection, also those that a cancelled transaction left to close by themselves."""
        await self._engine.dispose()
        if self._ending:  # their threads answer to this event loop, which may close after this
            await asyncio.wait(list(self._ending))

    async def _open(self, path: str, **options: Any) -> _Connection:
        return await _Connection(path, options, self._ending)  # type: ignore[return-value]


class _Connection(aiosqlite.Connection):
    """May be cancelled while it opens, and stopped more than once.

    aiosqlite's own connection, cancelled while it opens, loses the connection that its thread opens. Stopped a second
    time, it waits forever for an answer; SQLAlchemy stops it twice when its clean-up is cancelled
    (sqlalchemy/connectors/asyncio.py, `terminate`).
    """

    def __init__(self, path: str, options: dict[str, Any], ending: set[asyncio.Future[object]]) -> None:
        """While its thread, told to stop, has not done so, a future of that is in `ending`."""
        self._ending = ending
        self._opened: sqlite3.Connection | None = None
        self._stopped: asyncio.Future[object] | None = None

        def connect() -> sqlite3.Connection:
            self._opened = sqlite3.connect(path, **options)
            return self._opened

        super().__init__(connect, iter_chunk_size=64)
        self._thread.daemon = True  # as SQLAlchemy does it: leaving the program waits for no query

    def stop(self) -> asyncio.Future[object] | None:
        if self._stopped is None:
            self._tx.put_nowait((None, self._close_opened))
            self._stopped = super().stop()
            if self._stopped is not None:
                self._ending.add(self._stopped)
                self._stopped.add_done_callback(self._ending.discard)
        return self._stopped

    def _close_opened(self) -> None:
        """Close the connection on its thread, after the work that runs there. May be called twice."""
        if self._opened is not None:
            self._opened.close()


@contextmanager
def _translated() -> Iterator[None]:
    """Turn the database's errors into `registry.unavailable`, except constraint violations, which callers handle."""
    try:
        yield
    except IntegrityError:
        raise
    except (DBAPIError, sa.exc.TimeoutError) as error:
        raise BirthmarkError("registry.unavailable", str(getattr(error, "orig", None) or error)) from error


def _make_transactions_real(engine: sa.Engine) -> None:
    """Make commits durable and begin transactions here.

    Python's sqlite3 begins them late, and only for some statements.
    """

    @sa.event.listens_for(engine, "connect")
    def _connect(connection: Any, _record: object) -> None:
        connection.isolation_level = None
        cursor = connection.cursor()
        for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    @sa.event.listens_for(engine, "begin")
    def _begin(connection: sa.Connection) -> None:
        connection.exec_driver_sql(connection.get_execution_options().get("birthmark_begin", "BEGIN"))


def create(path: Path) -> None:
    """Make an empty registry whose file only its owner can read, from the first moment."""
    os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    migrate(path)


def migrate(path: Path) -> None:
    """Bring the registry to the newest schema. Raises `registry.too-new` or `registry.unavailable`."""
    engine = sa.create_engine(sa.URL.create("sqlite", database=str(path)), connect_args={"timeout": BUSY_SECONDS})
    _make_transactions_real(engine)
    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS).replace("%", "%%"))
    try:
        with _translated(), engine.connect() as connection:
            if _is_newer(config, connection):
                raise BirthmarkError("registry.too-new", str(path))
            config.attributes["connection"] = connection.execution_options(birthmark_begin="BEGIN IMMEDIATE")
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
