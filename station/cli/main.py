"""The command group and the commands that make, run and inspect a station."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path
from typing import TextIO

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from shared import limits
from shared.errors import BirthmarkError
from shared.text import shown
from station import bootstrap
from station.cli.common import AS_JSON, DATA_DIR, Commands, moment, print_json
from station.cli.ek import ek
from station.cli.serve import serve
from station.config import AttestationConfig, AuthorityConfig, EkPolicy, StationConfig, TablesConfig
from station.registry import units
from station.registry.units import Unit

POLICIES = click.Choice([policy.value for policy in EkPolicy])


@click.group(cls=Commands)
@click.version_option(package_name="birthmark-provisioning")
@click.option("--verbose", is_flag=True, help="Log what happens in detail, with tracebacks.")
def main(verbose: bool) -> None:
    """The provisioning station: turns Raspberry Pis into cameras that can prove their photos."""
    logging.basicConfig(
        level=logging.DEBUG if verbose else logging.WARNING, format="%(asctime)s %(levelname)s %(name)s: %(message)s"
    )
    # Other people's debug lines print what crosses the cable and the database.
    for name in ("serialx", "aiosqlite", "sqlalchemy", "asyncio"):
        logging.getLogger(name).setLevel(logging.WARNING)


@main.command()
@DATA_DIR
@click.option("--tables", default=10, show_default=True, help="Key tables, 3 to 2500.")
@click.option("--organization", default="Birthmark", show_default=True, help="Organization in every certificate.")
@click.option("--name", default="station", show_default=True, help="This station's name.")
@click.option("--authority-id", default="BIRTHMARK_SMA", show_default=True, help="What cameras call this authority.")
@click.option("--public-url", default="http://127.0.0.1:8001", show_default=True, help="Where others reach it.")
@click.option("--ek-policy", type=POLICIES, default=EkPolicy.REQUIRE.value, show_default=True, help="Asked of TPMs.")
@click.option(
    "--ek-roots",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="Directory of TPM makers' certificates, to be copied in.",
)
@click.option(
    "--root-passphrase-file",
    type=click.File("r"),
    help="First line encrypts the root's key; without it a passphrase is made and left in a file.",
)
@click.option("--force", is_flag=True, help="Replace what is there; the old directory is moved aside, not deleted.")
@AS_JSON
def init(
    data_dir: Path,
    tables: int,
    organization: str,
    name: str,
    authority_id: str,
    public_url: str,
    ek_policy: str,
    ek_roots: Path | None,
    root_passphrase_file: TextIO | None,
    force: bool,
    as_json: bool,
) -> None:
    """Make a new authority: root, intermediate and station certificates, key tables, an empty registry."""
    if not limits.TABLE_COUNT_MIN <= tables <= limits.TABLE_COUNT_MAX:
        raise BirthmarkError("config.invalid", f"--tables {tables} is not in 3 to 2500")
    passphrase = None
    if root_passphrase_file is not None:
        passphrase = root_passphrase_file.readline().rstrip("\n")
        if len(passphrase) < 12:
            raise BirthmarkError("config.invalid", "the root passphrase has fewer than 12 characters")
    config = StationConfig(
        name=name,
        authority=AuthorityConfig(organization=organization, authority_id=authority_id, public_url=public_url),
        tables=TablesConfig(count=tables),
        attestation=AttestationConfig(ek_policy=EkPolicy(ek_policy)),
    )
    made = bootstrap.init(data_dir, config, force=force, root_passphrase=passphrase, ek_roots=ek_roots)
    if as_json:
        print_json(
            {
                "data_dir": str(made.data_dir),
                "tables": tables,
                "ek_policy": ek_policy,
                "replaced": str(made.replaced) if made.replaced else None,
                "root_key": str(made.root_key),
                "root_passphrase_file": str(made.root_passphrase) if made.root_passphrase else None,
            }
        )
        return
    click.echo(f"Made an authority with {tables} key tables in {made.data_dir}.")
    if made.replaced:
        click.echo(f"What was there is now in {made.replaced}.")
    click.echo("Now move the root key to a safe place; the station never needs it:")
    click.echo(f"  {made.root_key}")
    if made.root_passphrase:
        click.echo(f"  {made.root_passphrase}   (to another place than the key)")
    click.echo(f"Then: birthmark-station serve --data-dir {made.data_dir}")


@main.command()
@DATA_DIR
@AS_JSON
def devices(data_dir: Path, as_json: bool) -> None:
    """List the units of this registry, the latest first."""

    async def read() -> list[Unit]:
        async with bootstrap.open_registry(data_dir) as registry, registry.read() as connection:
            return await units.listed(connection, limit=100_000)

    found = asyncio.run(read())
    if as_json:
        print_json([_public(unit) for unit in found])
        return
    if not found:
        click.echo("No units yet. Plug one in while `birthmark-station serve` runs.")
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in ("serial", "model", "state", "provisioned", "certificate until", "tables", "TPM"):
        table.add_column(heading)
    for unit in found:
        # Text, not str: rich would read markup in what a device sent.
        cells = (
            unit.serial,
            unit.model,
            unit.state.value,
            moment(unit.provisioned_at),
            moment(unit.not_after)[:10],
            ", ".join(map(str, unit.tables)),
            f"{unit.tpm_manufacturer} ({unit.ek_trust})",
        )
        table.add_row(*(Text(cell) for cell in cells))
    Console().print(table)


@main.command()
@DATA_DIR
@click.argument("serial")
@click.option("--reason", required=True, help="Why; it goes into the audit log.")
@AS_JSON
def release(data_dir: Path, serial: str, reason: str, as_json: bool) -> None:
    """Set a unit's serial number, TPM and sensor free, so that it can be provisioned anew."""
    text = shown(reason)
    if not text:
        raise BirthmarkError("config.invalid", "--reason is empty")

    async def write() -> Unit:
        async with bootstrap.open_registry(data_dir) as registry, registry.write() as connection:
            return await units.release(connection, serial, text, bootstrap.now())

    unit = asyncio.run(write())
    if as_json:
        print_json(_public(unit))
    else:
        click.echo(f"Released {unit.serial}. Its certificate {unit.certificate_serial} stands for it no longer.")


def _public(unit: Unit) -> dict[str, object]:
    """A unit as other programs see it."""
    return {
        "serial": unit.serial,
        "model": unit.model,
        "state": unit.state.value,
        "issued_at": unit.issued_at,
        "provisioned_at": unit.provisioned_at,
        "certificate_serial": unit.certificate_serial,
        "certificate_not_after": unit.not_after,
        "table_ids": list(unit.tables),
        "ek_trust": unit.ek_trust,
        "ek_reason": unit.ek_reason,
        "ek_anchor": unit.ek_anchor,
        "tpm_manufacturer": unit.tpm_manufacturer,
        "tpm_model": unit.tpm_model,
        "tpm_firmware": unit.tpm_firmware,
        "station": unit.station,
        "port": unit.port,
        "closed_at": unit.closed_at,
        "closed_reason": unit.closed_reason,
    }


main.add_command(serve)
main.add_command(ek)
