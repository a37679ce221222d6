"""The command group and the commands that make, run and inspect a station."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TextIO

import click

from shared import limits
from shared.errors import BirthmarkError
from station import bootstrap
from station.cli.auditing import audit
from station.cli.backup import backup, restore
from station.cli.common import AS_JSON, DATA_DIR, Commands, print_json, root_passphrase
from station.cli.ek import ek
from station.cli.importing import import_directory
from station.cli.provision import provision
from station.cli.serve import serve
from station.cli.stats import stats, tables
from station.cli.tokens import tokens
from station.cli.units import device, devices, reinstate, release, revoke
from station.cli.vectors import derive_vectors
from station.config import AttestationConfig, AuthorityConfig, EkPolicy, StationConfig, TablesConfig

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
@click.option("--tables", "table_count", default=10, show_default=True, help="Key tables, 3 to 2500.")
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
    table_count: int,
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
    if not limits.TABLE_COUNT_MIN <= table_count <= limits.TABLE_COUNT_MAX:
        raise BirthmarkError("config.invalid", f"--tables {table_count} is not in 3 to 2500")
    passphrase = root_passphrase(root_passphrase_file)
    config = StationConfig(
        name=name,
        authority=AuthorityConfig(organization=organization, authority_id=authority_id, public_url=public_url),
        tables=TablesConfig(count=table_count),
        attestation=AttestationConfig(ek_policy=EkPolicy(ek_policy)),
    )
    made = bootstrap.init(data_dir, config, force=force, root_passphrase=passphrase, ek_roots=ek_roots)
    if as_json:
        print_json(
            {
                "data_dir": str(made.data_dir),
                "tables": table_count,
                "ek_policy": ek_policy,
                "replaced": str(made.replaced) if made.replaced else None,
                "root_key": str(made.root_key),
                "root_passphrase_file": str(made.root_passphrase) if made.root_passphrase else None,
            }
        )
        return
    click.echo(f"Made an authority with {table_count} key tables in {made.data_dir}.")
    if made.replaced:
        click.echo(f"What was there is now in {made.replaced}.")
    click.echo("Now move the root key to a safe place; the station never needs it:")
    click.echo(f"  {made.root_key}")
    if made.root_passphrase:
        click.echo(f"  {made.root_passphrase}   (to another place than the key)")
    click.echo(f"Then: birthmark-station serve --data-dir {made.data_dir}")


for _command in (
    serve,
    ek,
    devices,
    device,
    release,
    revoke,
    reinstate,
    provision,
    stats,
    tables,
    tokens,
    audit,
    backup,
    restore,
    import_directory,
    derive_vectors,
):
    main.add_command(_command)
