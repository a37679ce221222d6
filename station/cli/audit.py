"""`birthmark-station audit` shows the audit log; `audit verify` checks that nobody has changed it."""

from __future__ import annotations

import asyncio
import datetime as dt
import re
from pathlib import Path

import click
import msgspec

from runtime.clock import unix_time
from shared.errors import BirthmarkError
from shared.text import printable
from station.cli.common import AS_JSON, format_time, print_json
from station.cli.data_directory import DATA_DIR, GIVEN_DATA_DIR, enter
from station.registry import audit as registry_audit
from station.registry import audit_check
from station.registry.audit import Row
from station.registry.audit_check import Verification
from station.setup.open import open_registry

_AGO = re.compile(r"([0-9]{1,6})([smhd])\Z")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
_NOTED = re.compile(r"([0-9]{1,12}):([0-9a-f]{64})\Z")


class Since(click.ParamType[int]):
    """`2026-11-24`, `2026-11-24T10:00`, or a time ago: `90s`, `15m`, `12h`, `7d`."""

    name = "time"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> int:
        text = str(value)
        if found := _AGO.match(text):
            return unix_time() - int(found[1]) * _SECONDS[found[2]]
        try:
            return int(dt.datetime.fromisoformat(text).astimezone().timestamp())
        except (ValueError, OverflowError):
            self.fail("give a date such as 2026-11-24, or a time ago such as 12h or 7d", param, ctx)


@click.group(invoke_without_command=True)
@GIVEN_DATA_DIR
@click.option("--since", type=Since(), metavar="TIME", help=Since.__doc__)
@AS_JSON
@click.pass_context
def audit(ctx: click.Context, data_dir: Path | None, since: int | None, as_json: bool) -> None:
    """Show what was issued, refused, released, revoked or configured, oldest first."""
    if ctx.invoked_subcommand is not None:
        return

    async def read(directory: Path) -> list[Row]:
        async with open_registry(directory) as registry, registry.read() as connection:
            return await registry_audit.read(connection, since=since or 0)

    rows = asyncio.run(read(enter(data_dir)))
    if as_json:
        print_json([_public(row) for row in rows])
        return
    for row in rows:
        serial, station = (printable(str(text), 64) for text in (row.serial, row.station))
        click.echo(
            f"{row.seq:>6}  {format_time(row.at)}  {row.event:14}{serial:23} {station:15} {printable(row.detail)}"
        )


@audit.command()
@DATA_DIR
@click.option("--noted", metavar="ROW:HASH", help="The last row as an earlier check printed it, kept elsewhere.")
@AS_JSON
def verify(data_dir: Path, noted: str | None, as_json: bool) -> None:
    """Check every row of the audit log, and name those that were changed, moved, removed or cut off.

    Note the printed ROW:HASH outside this machine and give it to the next check. It then finds even a log that somebody
    rewrote as a whole.
    """
    found = asyncio.run(_verify(data_dir, _parse_noted(noted)))
    if as_json:
        print_json(
            {
                "whole": not found.problems,
                "rows": found.rows,
                "head": f"{found.seq}:{_hex(found.hash)}",
                "problems": [
                    {"damage": p.damage.value, "first": p.first, "last": p.last, "sentence": p.sentence}
                    for p in found.problems
                ],
            }
        )
    elif not found.problems:
        click.echo(f"The audit log is whole: {found.rows} rows. Note: {found.seq}:{_hex(found.hash)}")
    if found.problems:
        raise BirthmarkError("audit.broken", "; ".join(problem.sentence for problem in found.problems[:20]))


async def _verify(data_dir: Path, noted: tuple[int, bytes] | None) -> Verification:
    async with open_registry(data_dir) as registry, registry.read() as connection:
        return await audit_check.verify(connection, noted)


def _parse_noted(text: str | None) -> tuple[int, bytes] | None:
    if text is None:
        return None
    if not (found := _NOTED.match(text)):
        raise click.UsageError("--noted is ROW:HASH, as `audit verify` prints it")
    return int(found[1]), bytes.fromhex(found[2])


def _hex(value: object) -> str:
    return value.hex() if isinstance(value, bytes) else ""


def _public(row: Row) -> dict[str, object]:
    try:
        detail = msgspec.json.decode(row.detail)
    except (msgspec.MsgspecError, TypeError):  # tampered with: show it as it is
        detail = str(row.detail)
    shown = {"seq": row.seq, "at": row.at, "station": row.station, "event": row.event, "serial": row.serial}
    return shown | {"detail": detail}
