"""The commands for units: list them, show one, release, revoke and reinstate."""

from __future__ import annotations

import asyncio
import datetime as dt
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import IO

import click
import msgspec
from rich.table import Table
from rich.text import Text

from runtime.clock import unix_time
from shared.errors import BirthmarkError
from shared.text import printable
from station.cli.common import AS_JSON, format_time, print_json, print_table, read_secret_line
from station.cli.data_directory import DATA_DIR
from station.provisioning.offline import parse_nuc_hash
from station.registry import queries, revocation, units
from station.registry.database import Connection
from station.registry.device import device_of
from station.registry.queries import PAGE_UNITS, Filter
from station.registry.records import Unit, UnitState
from station.registry.revocation import RevocationCode
from station.secrets.blind_index import BlindIndex
from station.secrets.station_secret import StationSecret
from station.setup.open import open_registry

_STATES = click.Choice([state.value for state in UnitState])
_CODES = click.Choice([code.value for code in RevocationCode])
_REASON = click.option("--reason", required=True, help="Why; it goes into the audit log.")


@click.command()
@DATA_DIR
@click.option("--family", default="", help="Only this device family.")
@click.option("--state", type=_STATES, help="Only this state; without it, all but reserved and released ones.")
@click.option("--search", default="", help="Only serial numbers with this in them.")
@AS_JSON
def devices(data_dir: Path, family: str, state: str | None, search: str, as_json: bool) -> None:
    """List the units of this registry, the latest first."""
    wanted = Filter(state=UnitState(state) if state else None, family=family, serial_contains=search)

    async def read() -> list[Unit]:
        found: list[Unit] = []
        cursor: str | None = ""
        async with open_registry(data_dir) as registry, registry.read() as connection:
            while cursor is not None:
                page = await queries.page(connection, wanted, limit=PAGE_UNITS, cursor=cursor)
                found += page.units
                cursor = page.cursor
        return found

    found = asyncio.run(read())
    if as_json:
        print_json([device_of(unit) for unit in found])
    elif not found:
        click.echo("No such units. Plug one in while `birthmark-station serve` runs.")
    else:
        _print_units(found)


def _print_units(found: list[Unit]) -> None:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in ("serial", "family", "state", "provisioned", "certificate until", "tables", "key"):
        table.add_column(heading, no_wrap=heading in ("serial", "state"))  # whole in a narrow terminal, too
    for unit in found:
        # Text, not str: rich would read markup in what a device sent.
        cells = (
            unit.serial,
            unit.model or unit.family,
            unit.state.value,
            format_time(unit.provisioned_at),
            format_time(unit.certificate.not_after)[:10] if unit.certificate else "",
            ", ".join(map(str, unit.tables)),
            f"{unit.tpm_manufacturer} TPM ({unit.ek_trust})" if unit.ek_trust else unit.key_holder.value,
        )
        table.add_row(*(Text(cell) for cell in cells))
    print_table(table)


@click.command()
@DATA_DIR
@click.argument("serial", required=False)
@click.option("--nuc-hash", metavar="HEX", help="Its NUC hash; other users see it in the process list.")
@click.option("--nuc-hash-file", type=click.File("r"), help="The same from a file, or `-` for standard input.")
@AS_JSON
def device(
    data_dir: Path, serial: str | None, nuc_hash: str | None, nuc_hash_file: IO[str] | None, as_json: bool
) -> None:
    """Show one unit, by its serial number or its NUC hash."""
    if sum(given is not None for given in (serial, nuc_hash, nuc_hash_file)) != 1:
        raise click.UsageError("give either SERIAL, --nuc-hash or --nuc-hash-file")
    text = nuc_hash if nuc_hash_file is None else read_secret_line(nuc_hash_file)

    async def read() -> Unit:
        async with open_registry(data_dir) as registry, registry.read() as connection:
            if serial is not None:
                return await queries.by_serial(connection, serial)
            index = BlindIndex(StationSecret.load(data_dir)).of(parse_nuc_hash(text or ""))
            unit = await queries.by_nuc_blind_index(connection, index)
            if unit is None:
                raise BirthmarkError("registry.unknown-unit")
            return unit

    unit = asyncio.run(read())
    if as_json:
        print_json(device_of(unit))
        return
    for name, value in msgspec.structs.asdict(device_of(unit)).items():
        if value not in ("", None):
            click.echo(f"{name.replace('_', ' '):24}{_format_value(name, value)}")


def _format_value(name: str, value: object) -> str:
    if isinstance(value, str) and name.endswith(("_at", "_not_after")):
        return format_time(int(dt.datetime.fromisoformat(value).timestamp()))
    return printable(", ".join(map(str, value)) if isinstance(value, list) else str(value))


@click.command()
@DATA_DIR
@click.argument("serial")
@_REASON
@AS_JSON
def release(data_dir: Path, serial: str, reason: str, as_json: bool) -> None:
    """Release a unit's serial number, TPM and sensor, so that they can be provisioned again."""

    async def write(connection: Connection, text: str) -> Unit:
        return await revocation.release(connection, serial, text, unix_time())

    unit = _change(data_dir, reason, write)
    certificate = units.certificate_serial(unit)
    ended = f"Its certificate {certificate} stands for it no longer." if certificate else "It had no certificate yet."
    _print_unit(unit, f"Released {unit.serial}. {ended}", as_json)


@click.command()
@DATA_DIR
@click.argument("serial")
@_REASON
@click.option(
    "--code",
    type=_CODES,
    default=RevocationCode.HOLD.value,
    show_default=True,
    help="RFC 5280's reason. Only a hold can be taken back.",
)
@AS_JSON
def revoke(data_dir: Path, serial: str, reason: str, code: str, as_json: bool) -> None:
    """Revoke a unit: it fails validation from now on, and its certificate goes onto the revocation list."""

    async def write(connection: Connection, text: str) -> Unit:
        return await revocation.revoke(connection, serial, RevocationCode(code), text, unix_time())

    unit = _change(data_dir, reason, write)
    _print_unit(
        unit, f"Revoked {unit.serial}, certificate {units.certificate_serial(unit)} ({unit.revoked_code}).", as_json
    )


@click.command()
@DATA_DIR
@click.argument("serial")
@_REASON
@AS_JSON
def reinstate(data_dir: Path, serial: str, reason: str, as_json: bool) -> None:
    """Take back the revocation of a unit that is on hold."""

    async def write(connection: Connection, text: str) -> Unit:
        return await revocation.reinstate(connection, serial, text, unix_time())

    unit = _change(data_dir, reason, write)
    _print_unit(unit, f"Reinstated {unit.serial}: it is {unit.state.value} again.", as_json)


def _change(data_dir: Path, reason: str, write: Callable[[Connection, str], Awaitable[Unit]]) -> Unit:
    text = printable(reason)
    if not text:
        raise BirthmarkError("config.invalid", "--reason is empty")

    async def run() -> Unit:
        async with open_registry(data_dir) as registry, registry.write() as connection:
            return await write(connection, text)

    return asyncio.run(run())


def _print_unit(unit: Unit, sentence: str, as_json: bool) -> None:
    if as_json:
        print_json(device_of(unit))
    else:
        click.echo(sentence)
