"""The registry's engine, SQLite: its connections, its durability, a copy of it as it is at one moment."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, BinaryIO, Final

import aiosqlite
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine

from runtime.files import write_private
from shared.errors import BirthmarkError

BUSY_SECONDS: Final = 30.0
"""A transaction waits this long for another one, or for a backup, before it fails."""

BEGIN: Final = "birthmark_begin"
"""The execution option that says with which statement a transaction begins."""

_SCHEME: Final = "sqlite:"
_PAGES: Final = 1024


def path_of(url: str) -> Path:
    """The file at an address of `station.registry.location`. Raises `config.invalid`."""
    path = url.removeprefix(_SCHEME)
    if path == url or not path or "\0" in path:
        raise BirthmarkError("config.invalid", f"{url} is no address of a registry")
    return Path(path)


def create_file(url: str) -> None:
    """Make an empty file, private from the first moment."""
    write_private(path_of(url), b"")


class Engine:
    """Connections for transactions in an event loop."""

    def __init__(self, url: str) -> None:
        self._ending: Final[set[asyncio.Future[object]]] = set()
        self._engine: Final = create_async_engine(
            sa.URL.create("sqlite+aiosqlite", database=str(path_of(url))),
            connect_args={"timeout": BUSY_SECONDS, "async_creator_fn": self._open},
        )
        self.sync_engine: Final = self._engine.sync_engine
        _make_transactions_real(self.sync_engine)

    def connect(self) -> AsyncConnection:
        return self._engine.connect()

    async def close(self) -> None:
        """Close every connection, also those that a cancelled transaction left to close by themselves."""
        await self._engine.dispose()
        if self._ending:  # their threads answer to this event loop, which may close after this
            await asyncio.wait(list(self._ending))

    async def _open(self, path: str, **options: Any) -> _Connection:
        return await _Connection(path, options, self._ending)  # type: ignore[return-value]


def sync_engine(url: str) -> sa.Engine:
    """An engine for migrations."""
    engine = sa.create_engine(
        sa.URL.create("sqlite", database=str(path_of(url))), connect_args={"timeout": BUSY_SECONDS}
    )
    _make_transactions_real(engine)
    return engine


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
        """On the connection's thread, after whatever it is doing; to close twice does no harm."""
        if self._opened is not None:
            self._opened.close()


def _make_transactions_real(engine: sa.Engine) -> None:
    """Durable, and begun by us: Python's sqlite3 would begin them late and only for some statements."""

    @sa.event.listens_for(engine, "connect")
    def _connect(connection: Any, _record: object) -> None:
        connection.isolation_level = None
        cursor = connection.cursor()
        for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    @sa.event.listens_for(engine, "begin")
    def _begin(connection: sa.Connection) -> None:
        connection.exec_driver_sql(connection.get_execution_options().get(BEGIN, "BEGIN"))


@contextmanager
def snapshot(url: str, folder: Path, progress: Callable[[int, int], None]) -> Iterator[BinaryIO]:
    """Copy the registry, as it is at one moment, to a private file in `folder` without a name: no crash can leave it.

    Other transactions go on meanwhile. Calls `progress` with the pages copied and the number of all. Raises
    `registry.unavailable`.
    """
    descriptor, name = tempfile.mkstemp(prefix=".backup.", dir=folder)
    with os.fdopen(descriptor, "rb") as copy:
        try:
            target = sqlite3.connect(name)
        finally:
            os.unlink(name)
        try:
            with (
                closing(target),
                closing(sqlite3.connect(path_of(url), timeout=BUSY_SECONDS, isolation_level=None)) as source,
            ):
                target.execute("PRAGMA journal_mode=OFF")
                # This open read transaction keeps every step of the copy at one moment, however busy the station is.
                source.execute("BEGIN")
                source.execute("SELECT count(*) FROM sqlite_master").fetchone()
                source.backup(target, pages=_PAGES, progress=lambda _, left, all_: progress(all_ - left, all_))
        except sqlite3.Error as error:
            raise BirthmarkError("registry.unavailable", str(error)) from error
        yield copy
