"""`birthmark-station export`: writes the station as another program's data directory."""

from __future__ import annotations

from pathlib import Path

import click

from station.cli.common import AS_JSON, print_json
from station.cli.data_directory import OWN_DATA_DIR
from station.setup.export_sma import export as export_sma


@click.command("export")
@OWN_DATA_DIR
@click.option("--format", "form", type=click.Choice(["sma"]), required=True, help="`sma`: Birthmark's public SMA.")
@click.option(
    "--output", type=click.Path(path_type=Path), required=True, help="The directory to make; it must not be there."
)
@AS_JSON
def export(data_dir: Path, form: str, output: Path, as_json: bool) -> None:
    """Write units, key tables and authority as the data directory of the public SMA, with secrets in the clear.

    The files have mode 0600. The root's key is not among them, for the station does not have it.
    """
    made = export_sma(data_dir, output)
    if as_json:
        print_json(
            {
                "directory": str(made.directory),
                "format": form,
                "units": made.units,
                "revoked": made.revoked,
                "tables": made.tables,
                "without_nuc_hash": list(made.without_nuc_hash),
                "unconfirmed": made.unconfirmed,
            }
        )
        return
    for serial in made.without_nuc_hash:
        click.echo(f"{serial}: its certificate does not hold its NUC hash, so its tokens fail there", err=True)
    click.echo(f"Exported {made.units} units ({made.revoked} revoked), {made.tables} key tables: {made.directory}")
    if made.unconfirmed:
        click.echo(f"{made.unconfirmed} units have not confirmed their certificate, and were left out.")
    click.echo(
        "It holds master keys, NUC hashes and the intermediate's key in the clear: whoever has it is the authority."
    )
    click.echo(
        "Put the root's key beside them, decrypted (openssl pkey -in root-key.pem -out root-ca.key): `setup_sma.py` "
        "makes a new authority where it is missing."
    )
