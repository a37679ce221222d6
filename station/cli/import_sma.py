"""`birthmark-station import`: imports a data directory of the public SMA."""

from __future__ import annotations

from pathlib import Path
from typing import IO

import click

from station.cli.common import AS_JSON, FORCE, print_json, print_replaced, read_root_passphrase
from station.cli.data_directory import NEW_DATA_DIR
from station.cli.public_url import PUBLIC_URL, ask_public_url, warn_unreachable
from station.config import AuthorityConfig
from station.setup.import_sma.checks import Refused
from station.setup.import_sma.takeover import UnusableDevicesError, take_over


@click.command("import")
@NEW_DATA_DIR
@click.argument("directory", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.option("--name", default="station", show_default=True, help="This station's name.")
@click.option("--authority-id", default="birthmark_simulated_ma", show_default=True, help="What cameras call it.")
@PUBLIC_URL
@click.option("--root-passphrase-file", type=click.File("r"), help="First line encrypts the root's key.")
@click.option("--leave-out", multiple=True, metavar="SERIAL", help="Do not import this device. May be given again.")
@click.option("--skip-unusable", is_flag=True, help="Leave out every device that fails a check, and name it.")
@click.option(
    "--keep-unknown-authority",
    is_flag=True,
    help="Import devices whose certificate none of DIRECTORY's authorities signed: their tokens count, it does not.",
)
@FORCE
@AS_JSON
def import_directory(
    data_dir: Path,
    directory: Path,
    name: str,
    authority_id: str,
    public_url: str | None,
    root_passphrase_file: IO[str] | None,
    leave_out: tuple[str, ...],
    skip_unusable: bool,
    keep_unknown_authority: bool,
    force: bool,
    as_json: bool,
) -> None:
    """Make a new data directory from the public SMA's DIRECTORY: its units, key tables and authority, or nothing.

    Blacklisted units are revoked, on hold. Submissions are not imported. Names every device that cannot be imported,
    with the reason.
    """
    authority = AuthorityConfig(authority_id=authority_id, public_url=ask_public_url(public_url, ask=not as_json))
    try:
        imported = take_over(
            directory,
            data_dir,
            name,
            authority,
            force=force,
            root_passphrase=read_root_passphrase(root_passphrase_file),
            leave_out=leave_out,
            skip_unusable=skip_unusable,
            keep_unknown_authority=keep_unknown_authority,
        )
    except UnusableDevicesError as error:
        _print_refused(error.refused, offer=not keep_unknown_authority)
        raise
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
                "unknown_authority": imported.unknown_authority,
                "other_tables": imported.other_tables,
                "left_out": [{"device": one.name, "reason": one.reason} for one in imported.left_out],
                "replaced": str(made.replaced) if made.replaced else None,
                "root_key": str(made.root_key) if made.root_key else None,
                "root_passphrase_file": str(made.root_passphrase) if made.root_passphrase else None,
            }
        )
        return
    _print_refused(imported.left_out, offer=not keep_unknown_authority)
    click.echo(f"Imported {imported.units} units ({imported.revoked} revoked), {imported.tables} key tables.")
    if imported.unregistered:
        click.echo(f"{imported.unregistered} serial numbers had tables but no unit; they were left out.")
    if imported.foreign_names:
        click.echo(f"{imported.foreign_names} certificates misname their issuer: good here, not for OpenSSL.")
    if imported.unknown_authority:
        click.echo(
            f"{imported.unknown_authority} units have a certificate of an unknown authority: it is never valid here; "
            "their tokens are."
        )
    if imported.other_tables:
        click.echo(
            f"warning: {imported.other_tables} units had key tables with other master keys, so their tokens fail: "
            "import again with the key_tables.json that they were provisioned with.",
            err=True,
        )
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


def _print_refused(refused: tuple[Refused, ...], *, offer: bool) -> None:
    """Print the devices that are not imported, and for which of them there is a way."""
    for one in refused:
        click.echo(f"{one.name}: {one.reason}", err=True)
    unknown = sum(one.unknown_authority for one in refused)
    if offer and unknown:
        click.echo(
            f"{unknown} of them have a certificate of an unknown authority, as after `setup_sma.py --force`. With "
            "--keep-unknown-authority they are imported: their tokens are valid then, their certificates never.",
            err=True,
        )
