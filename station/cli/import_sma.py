"""`birthmark-station import`: imports a data directory of the public SMA."""

from __future__ import annotations

from pathlib import Path
from typing import IO

import click

from station.cli.common import AS_JSON, FORCE, print_json, print_replaced, read_root_passphrase
from station.cli.data_directory import NEW_DATA_DIR
from station.cli.public_url import PUBLIC_URL, ask_public_url, warn_unreachable
from station.config import AuthorityConfig
from station.setup.import_sma.takeover import take_over


@click.command("import")
@NEW_DATA_DIR
@click.argument("directory", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.option("--name", default="station", show_default=True, help="This station's name.")
@click.option("--authority-id", default="birthmark_simulated_ma", show_default=True, help="What cameras call it.")
@PUBLIC_URL
@click.option("--root-passphrase-file", type=click.File("r"), help="First line encrypts the root's key.")
@FORCE
@AS_JSON
def import_directory(
    data_dir: Path,
    directory: Path,
    name: str,
    authority_id: str,
    public_url: str | None,
    root_passphrase_file: IO[str] | None,
    force: bool,
    as_json: bool,
) -> None:
    """Make a new data directory from the public SMA's DIRECTORY: its units, key tables and authority, or nothing.

    Blacklisted units are revoked, on hold. Submissions are not imported.
    """
    authority = AuthorityConfig(authority_id=authority_id, public_url=ask_public_url(public_url, ask=not as_json))
    imported = take_over(
        directory,
        data_dir,
        name,
        authority,
        force=force,
        root_passphrase=read_root_passphrase(root_passphrase_file),
    )
    made = imported.made
    warn_unreachable(authority)
    if as_json:
        print_json(
            {
                "data_dir": str(made.data_dir),
                "units": imported.units,
                "revoked": imported.revoked,
                "tables": imported.tables,
                "unregistered": imported.unregistered,
                "foreign_issuer_names": imported.foreign_names,
                "replaced": str(made.replaced) if made.replaced else None,
                "root_key": str(made.root_key) if made.root_key else None,
                "root_passphrase_file": str(made.root_passphrase) if made.root_passphrase else None,
            }
        )
        return
    click.echo(f"Imported {imported.units} units ({imported.revoked} revoked), {imported.tables} key tables.")
    if imported.unregistered:
        click.echo(f"{imported.unregistered} serial numbers had tables but no unit; they were left out.")
    if imported.foreign_names:
        click.echo(f"{imported.foreign_names} certificates misname their issuer: good here, not for OpenSSL.")
    print_replaced(made.data_dir, made.replaced)
    if made.root_key:
        click.echo(f"Now move the root key to a safe place: {made.root_key}")
    if made.root_passphrase:
        click.echo(f"  {made.root_passphrase}   (to another place than the key)")
    click.echo(f"The private keys in {directory} still lie there in the clear: destroy them once all is well.")
    click.echo(
        "Its intermediate does not say what it may issue, so each Pi must be given it beside the root, both from "
        f"{made.data_dir}/authority: birthmark-agent setup --root root.pem --intermediate intermediate.pem"
    )
