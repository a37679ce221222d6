"""The audit log records a bounded number of a port's refusals and returns, and counts the others."""

from __future__ import annotations

import asyncio
import sqlite3
from pathlib import Path

from shared.errors import BirthmarkError
from station.config import StationConfig
from station.provisioning.audit_limiter import _PORTS_MAX, BURST, SECONDS_EACH, AuditLimiter
from station.setup.init import init_data_dir
from station.setup.open import open_station


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_a_burst_is_recorded_one_by_one_and_then_now_and_then_with_the_count_of_the_rest() -> None:
    clock = Clock()
    refusals = AuditLimiter(clock)
    assert [refusals.suppressed("a") for _ in range(BURST)] == [0] * BURST
    assert [refusals.suppressed("a") for _ in range(7)] == [None] * 7
    clock.now += SECONDS_EACH
    assert refusals.suppressed("a") == 7
    assert refusals.suppressed("a") is None
    clock.now += 1000 * SECONDS_EACH
    assert [refusals.suppressed("a") for _ in range(BURST)] == [1] + [0] * (BURST - 1)
    assert refusals.suppressed("a") is None


def test_one_port_takes_no_rows_from_another() -> None:
    refusals = AuditLimiter(Clock())
    for _ in range(2 * BURST):
        refusals.suppressed("a")
    assert refusals.suppressed("b") == 0


def test_a_day_of_refusals_at_any_rate_is_a_bounded_number_of_rows() -> None:
    clock = Clock()
    refusals = AuditLimiter(clock)
    rows = 0
    for _ in range(200_000):
        clock.now += 86_400 / 200_000
        rows += refusals.suppressed("a") is not None
    assert rows <= BURST + 86_400 / SECONDS_EACH


def test_the_number_of_ports_remembered_is_bounded() -> None:
    refusals = AuditLimiter(Clock())
    for number in range(2 * _PORTS_MAX):
        refusals.suppressed(str(number))
    assert len(refusals._ports) == _PORTS_MAX


async def test_an_audit_row_counts_the_refusals_without_a_row(tmp_path: Path) -> None:
    directory = tmp_path / "data"
    await _init(directory)
    async with open_station(directory) as station:
        clock = Clock()
        station.issuance.audit_limiter = AuditLimiter(clock)  # type: ignore[misc]
        for _ in range(BURST + 5):
            await station.provisioner.refused("s", "port", BirthmarkError("link.noise"))
        clock.now += SECONDS_EACH
        await station.provisioner.refused("s", "port", BirthmarkError("link.noise"))
    registry = sqlite3.connect(directory / "registry.sqlite")
    found = registry.execute(
        "SELECT json_extract(detail, '$.suppressed_before') FROM audit WHERE event = 'refused' ORDER BY seq"
    ).fetchall()
    registry.close()
    assert [row[0] for row in found] == [None] * BURST + [5]


async def _init(directory: Path) -> None:
    await asyncio.to_thread(
        init_data_dir, directory, StationConfig(), force=False, root_passphrase="for the test", ek_roots=None
    )
