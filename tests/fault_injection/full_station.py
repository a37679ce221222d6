"""The station's disk is full: a number of pages still fits into the registry, or onto a small real disk."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from station.services import Services
from tests.fault_injection.sweep import Outcome, Point, Sweep, Verdict, audited, judged
from tests.fault_injection.testbed import Testbed, new_testbed, run, station_of

_PAGE = 4096
_PAGES = 48
"""A whole session needs fewer pages than this."""


def every_page() -> list[Point]:
    """Return the numbers of pages that still fit: into the database, and onto a small real disk if possible."""
    small = ["disk"] if _may_mount() else []
    return [(where, pages) for where in ["database", *small] for pages in range(_PAGES)]


@cache
def _may_mount() -> bool:
    if os.geteuid() != 0:
        return False
    with _small_disk() as directory:
        return directory is not None


@contextmanager
def _small_disk() -> Iterator[Path | None]:
    """Mount a disk of 8 MB; None where that is not allowed."""
    with tempfile.TemporaryDirectory(prefix="birthmark-faults-") as name:
        directory = Path(name)
        mount = ["mount", "-t", "tmpfs", "-o", "size=8m,mode=0700", "tmpfs", name]
        if subprocess.run(mount, capture_output=True).returncode != 0:
            yield None
            return
        try:
            yield directory
        finally:
            subprocess.run(["umount", name], check=True)


def attempt_full(points: Sequence[Point]) -> Iterable[Verdict]:
    verdicts = []
    for where in ("database", "disk"):
        some = [point for point in points if point[0] == where]
        if some:
            verdicts += _attempt_full(where, some)
    return verdicts


def _attempt_full(where: str, points: Sequence[Point]) -> list[Verdict]:
    async def sweep(testbed: Testbed) -> list[Verdict]:
        verdicts = []
        for point in points:
            async with station_of(testbed) as station:
                pi = testbed.new_pi()
                full = _full_database if where == "database" else _full_disk
                async with full(testbed, station, point[1]):
                    first = await testbed.plug(station, pi)
                if not first.well and getattr(first.station, "code", "") != "registry.unavailable":
                    verdicts.append(Verdict(point, Outcome.LOST, f"not told as a full disk: {first.told()}"))
                    continue
                verdicts.append(await judged(testbed, station, pi, point, first))
        async with station_of(testbed) as station:
            return await audited(testbed, station, verdicts)

    with new_testbed() as testbed:
        if where == "database":
            return run(testbed, sweep(testbed))
        with _small_disk() as directory:
            assert directory is not None
            testbed.elsewhere = testbed.data_dir.parent
            testbed.data_dir = Path(shutil.copytree(testbed.data_dir, directory / "station"))
            testbed.registry = testbed.data_dir / "registry.sqlite"
            return run(testbed, sweep(testbed))


@asynccontextmanager
async def _full_database(testbed: Testbed, station: Services, pages: int) -> AsyncIterator[None]:
    engine = station.database._engine.sync_engine

    def limit(connection: Any, _record: object = None) -> None:
        count = connection.execute("PRAGMA page_count").fetchone()[0]
        connection.execute(f"PRAGMA max_page_count={count + pages}").close()

    await station.database.close()
    sa.event.listen(engine, "connect", limit)
    yield
    sa.event.remove(engine, "connect", limit)
    await station.database.close()


@asynccontextmanager
async def _full_disk(testbed: Testbed, _station: Services, pages: int) -> AsyncIterator[None]:
    filler = testbed.data_dir.parent / "filler"
    room = os.statvfs(filler.parent)
    with filler.open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, max(room.f_bavail * room.f_frsize - pages * _PAGE, 1))
    yield
    filler.unlink()


SWEEPS = (Sweep("station's disk full", every_page, attempt_full, sample=1000),)
