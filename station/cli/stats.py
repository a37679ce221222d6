"""`birthmark-station stats` and `tables stats`: what the registry counts."""

from __future__ import annotations

import asyncio
import statistics
from pathlib import Path

import click

from shared.types import TableId
from station.cli.common import AS_JSON, print_json
from station.cli.data_directory import DATA_DIR
from station.registry import queries, units
from station.registry.queries import Times
from station.registry.records import UnitState
from station.setup.open import open_registry


@click.command()
@DATA_DIR
@AS_JSON
def stats(data_dir: Path, as_json: bool) -> None:
    """Show units by state and family, use of the key tables, and how long provisioning takes."""

    async def read() -> tuple[dict[UnitState, int], dict[str, int], dict[TableId, int], Times | None]:
        async with open_registry(data_dir) as registry, registry.read() as connection:
            return (
                await units.count_by_state(connection),
                await queries.families(connection),
                await queries.table_usage(connection),
                await queries.provisioning_times(connection),
            )

    states, families, usage, times = asyncio.run(read())
    if as_json:
        print_json(
            {
                "units": {state.value: count for state, count in states.items()},
                "families": families,
                "tables": summary(usage),
                "provisioning_seconds": times,
            }
        )
        return
    for state, count in states.items():
        click.echo(f"{state.value:16}{count}")
    for family, count in families.items():
        click.echo(f"{family:16}{count}")
    _print_tables(usage)
    if times:
        click.echo(f"provisioning    median {times.median:.2f} s, 95 of 100 within {times.p95:.2f} s")


@click.group()
def tables() -> None:
    """Show the authority's key tables."""


@tables.command("stats")
@DATA_DIR
@AS_JSON
def tables_stats(data_dir: Path, as_json: bool) -> None:
    """Show how many units have each key table."""

    async def read() -> dict[TableId, int]:
        async with open_registry(data_dir) as registry, registry.read() as connection:
            return await queries.table_usage(connection)

    usage = asyncio.run(read())
    if as_json:
        print_json({**summary(usage), "assignments": {str(table): count for table, count in usage.items()}})
    else:
        _print_tables(usage)


def summary(usage: dict[TableId, int]) -> dict[str, float]:
    """Summarize the assignments of all tables, those that no unit has included."""
    counts = list(usage.values())
    return {
        "tables": len(counts),
        "used": sum(count > 0 for count in counts),
        "total": sum(counts),
        "minimum": min(counts),
        "mean": statistics.fmean(counts),
        "maximum": max(counts),
    }


def _print_tables(usage: dict[TableId, int]) -> None:
    counts = summary(usage)
    click.echo(
        f"key tables      {counts['tables']}, {counts['used']} in use; units a table: "
        f"{counts['minimum']} to {counts['maximum']}, mean {counts['mean']:.1f}"
    )
