"""`/stats`: counts from the registry, under the public SMA's names and more."""

from __future__ import annotations

import statistics
from typing import Annotated

import msgspec
from aiohttp import web
from msgspec import Meta

from shared import limits
from station.registry import queries, units
from station.registry.records import COUNTED
from station.web import app_keys


class TableStatistics(msgspec.Struct, frozen=True):
    total_tables: int
    tables_per_device: int
    total_devices: int
    total_assignments: int
    table_usage: Annotated[
        dict[str, int],
        Meta(description="Table id → number of units that have it; 0 for a table that no unit has."),
    ]
    min_usage: int
    max_usage: int
    avg_usage: float


class ProvisioningTimes(msgspec.Struct, frozen=True):
    """Seconds from a unit's first message, or from the request, over the latest `count` units."""

    count: int
    minimum: float
    mean: float
    median: float
    p95: float
    maximum: float


class Stats(msgspec.Struct, frozen=True):
    """Only `devices_by_state` counts released units."""

    total_devices: int
    devices_by_family: dict[str, int]
    devices_by_state: dict[str, int]
    total_table_assignments: int
    unique_tables_used: int
    table_statistics: TableStatistics
    provisioning_seconds: ProvisioningTimes | None


async def stats(request: web.Request) -> Stats:
    """Raises `registry.unavailable`."""
    async with request.app[app_keys.SERVICES].database.read() as connection:
        states = await units.count_by_state(connection)
        families = await queries.families(connection)
        usage = await queries.table_usage(connection)
        times = await queries.provisioning_times(connection)
    total = sum(states[state] for state in COUNTED)
    counts = list(usage.values())
    return Stats(
        total_devices=total,
        devices_by_family=families,
        devices_by_state={state.value: count for state, count in states.items()},
        total_table_assignments=sum(counts),
        unique_tables_used=sum(count > 0 for count in counts),
        table_statistics=TableStatistics(
            total_tables=len(counts),
            tables_per_device=limits.TABLES_PER_UNIT,
            total_devices=total,
            total_assignments=sum(counts),
            table_usage={str(table): count for table, count in usage.items()},
            min_usage=min(counts),
            max_usage=max(counts),
            avg_usage=statistics.fmean(counts),
        ),
        provisioning_seconds=msgspec.convert(times, ProvisioningTimes, from_attributes=True) if times else None,
    )
