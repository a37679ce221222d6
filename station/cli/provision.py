"""`birthmark-station provision`: provisions units without a cable, and writes their files."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import IO

import click
from rich.console import Console
from rich.progress import Progress

from shared.errors import BirthmarkError, ExitCode
from shared.text import printable
from station.cli.common import AS_JSON, print_json, read_secret_line
from station.cli.data_directory import DATA_DIR
from station.provisioning.files import Outcome, ProvisioningFiles, Result, read_csr_file, read_list
from station.provisioning.offline import ProvisionedUnit, ProvisioningRequest, parse_nuc_hash
from station.setup.open import open_station


@click.command()
@DATA_DIR
@click.option("--serial", help="The unit's serial number.")
@click.option("--family", help="Its device family; default: the configured one.")
@click.option("--nuc-hash", metavar="HEX", help="Its NUC hash; other users see it in the process list: prefer a file.")
@click.option("--nuc-hash-file", type=click.File("r"), help="The same from a file, or `-` for standard input.")
@click.option("--csr", type=click.Path(path_type=Path), help="Its certificate request; without, a key is made here.")
@click.option("--bulk", type=click.Path(path_type=Path), help="CSV: device_serial, device_family, nuc_hash, csr_file.")
@click.option(
    "--output", type=click.Path(path_type=Path), default=Path(), help="Where to put provisioning_SERIAL.json."
)
@AS_JSON
def provision(
    data_dir: Path,
    serial: str | None,
    family: str | None,
    nuc_hash: str | None,
    nuc_hash_file: IO[str] | None,
    csr: Path | None,
    bulk: Path | None,
    output: Path,
    as_json: bool,
) -> None:
    """Provision a unit without a cable, and write provisioning_SERIAL.json with its secrets, with mode 0600.

    Without --nuc-hash one is made. A list given with --bulk may be run again after an interruption: it skips the units
    that it has provisioned.
    """
    if (serial is None) == (bulk is None):
        raise click.UsageError("give either --serial or --bulk")
    if bulk is not None:
        if family or nuc_hash or nuc_hash_file or csr:
            raise click.UsageError("with --bulk, the list says everything about a unit")
        results = asyncio.run(_provision_all(data_dir, output, read_list(bulk), quiet=as_json))
        _print_results(results, as_json)
        return
    if nuc_hash is not None and nuc_hash_file is not None:
        raise click.UsageError("give either --nuc-hash or --nuc-hash-file")
    text = nuc_hash if nuc_hash_file is None else read_secret_line(nuc_hash_file)
    if text is not None:
        parse_nuc_hash(text)  # an empty file is a mistake, not a request to make a hash
    request = ProvisioningRequest(serial or "", family, text, read_csr_file(csr) if csr else None)
    unit, file = asyncio.run(provision_unit(data_dir, output, request))
    if as_json:
        print_json(
            {
                "device_serial": unit.serial,
                "file": str(file),
                "key_holder": unit.key_holder.value,
                "certificate_serial": unit.certificate_serial,
                "table_assignments": list(unit.tables),
            }
        )
    else:
        click.echo(f"Provisioned {unit.serial}, tables {', '.join(map(str, unit.tables))}: {file}")


async def provision_unit(data_dir: Path, output: Path, request: ProvisioningRequest) -> tuple[ProvisionedUnit, Path]:
    """Provision one unit, and write its file into `output`. Returns both."""
    async with open_station(data_dir) as station:
        provisioning_files = ProvisioningFiles(output, station.offline_provisioner, station.database)
        unit = await provisioning_files.provision(request)
        return unit, provisioning_files.path(unit.serial)


async def _provision_all(
    data_dir: Path, output: Path, requests: list[ProvisioningRequest], *, quiet: bool
) -> list[Result]:
    results = []
    console = Console(stderr=True)
    async with open_station(data_dir) as station:
        provisioning_files = ProvisioningFiles(output, station.offline_provisioner, station.database)
        with Progress(console=console, disable=quiet or not console.is_terminal) as progress:
            task = progress.add_task("provisioning", total=len(requests))
            async for result in provisioning_files.provision_all(requests):
                results.append(result)
                progress.advance(task)
    return results


def _print_results(results: list[Result], as_json: bool) -> None:
    """Print the results.

    Exits with 75 when everything that failed may succeed later, with 1 when something else failed.
    """
    if as_json:
        print_json([_public(result) for result in results])
    else:
        for result in results:
            if result.error is not None:
                click.echo(f"{printable(result.serial, 64)}: {result.error}", err=True)
        counts = {outcome: sum(result.outcome is outcome for result in results) for outcome in Outcome}
        click.echo(", ".join(f"{count} {outcome.value}" for outcome, count in counts.items()))
    codes = {result.error.exit_code for result in results if result.error is not None}
    if codes:
        sys.exit(ExitCode.FAILED if ExitCode.FAILED in codes else ExitCode.TRY_AGAIN)


def _public(result: Result) -> dict[str, object]:
    error: BirthmarkError | None = result.error
    return {
        "device_serial": printable(result.serial, 64),
        "outcome": result.outcome.value,
        "file": str(result.file) if result.file else None,
        "code": error.code if error else None,
        "error": error.sentence if error else None,
    }
