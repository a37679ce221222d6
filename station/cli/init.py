"""`birthmark-station init`: makes a new authority in a new data directory. `setup` has the same options."""

from __future__ import annotations

from pathlib import Path
from typing import Final, TextIO

import click

from runtime.owner import acting_as, owner_of
from shared import limits
from shared.errors import BirthmarkError
from station import config as configuration
from station.cli.common import AS_JSON, FORCE, print_json, print_replaced, read_root_passphrase
from station.cli.data_directory import NEW_DATA_DIR
from station.cli.public_url import PUBLIC_URL, ask_public_url, warn_unreachable
from station.cli.tpm_vendors import UPDATE_VENDORS, ask_update, fetch
from station.config import (
    AttestationConfig,
    AuthorityConfig,
    EkPolicy,
    EkTemplateName,
    StationConfig,
    TablesConfig,
    WebConfig,
)
from station.setup.init import init_data_dir

TABLES: Final = click.option("--tables", "table_count", default=10, show_default=True, help="Key tables, 3 to 2500.")
AUTHORITY_ID: Final = click.option(
    "--authority-id", default="BIRTHMARK_SMA", show_default=True, help="What cameras call this authority."
)
EK_POLICY: Final = click.option(
    "--ek-policy",
    type=click.Choice([policy.value for policy in EkPolicy]),
    default=EkPolicy.REQUIRE.value,
    show_default=True,
    help="Asked of TPMs.",
)
EK_TEMPLATE: Final = click.option(
    "--ek-template",
    type=click.Choice([template.value for template in EkTemplateName]),
    default=EkTemplateName.L_2.value,
    show_default=True,
    help="The endorsement key that every TPM must show, by TCG's name (L-2: ECC P-256, L-1: RSA-2048), for good.",
)
EK_ROOTS: Final = click.option(
    "--ek-roots",
    type=click.Path(path_type=Path, exists=True),
    help="TPM vendors' certificates, to be copied in: a directory, or one file.",
)
HOSTS: Final = click.option(
    "--web-host",
    "hosts",
    multiple=True,
    help="A name that others ask it under besides the public address's, such as host.docker.internal; may be repeated.",
)
PLAIN_HTTP: Final = click.option(
    "--plain-http",
    multiple=True,
    metavar="NETWORK",
    help="A private network, such as this machine's containers', that may ask in the clear what needs no token; "
    "may be repeated.",
)


def settings(
    name: str,
    organization: str,
    authority_id: str,
    public_url: str,
    table_count: int,
    policy: EkPolicy,
    ek_template: EkTemplateName,
    web: WebConfig,
) -> StationConfig:
    """Return the settings that the options ask for, checked. Raises `config.invalid`."""
    if not limits.TABLE_COUNT_MIN <= table_count <= limits.TABLE_COUNT_MAX:
        raise BirthmarkError("config.invalid", f"--tables {table_count} is not in 3 to 2500")
    return configuration.check(
        StationConfig(
            name=name,
            authority=AuthorityConfig(organization=organization, authority_id=authority_id, public_url=public_url),
            tables=TablesConfig(count=table_count),
            attestation=AttestationConfig(ek_policy=policy, ek_template=ek_template),
            web=web,
        )
    )


@click.command()
@NEW_DATA_DIR
@TABLES
@click.option("--organization", default="Birthmark", show_default=True, help="Organization in every certificate.")
@click.option("--name", default="station", show_default=True, help="This station's name.")
@AUTHORITY_ID
@PUBLIC_URL
@EK_POLICY
@EK_TEMPLATE
@HOSTS
@PLAIN_HTTP
@EK_ROOTS
@UPDATE_VENDORS
@click.option(
    "--root-passphrase-file",
    type=click.File("r"),
    help="First line encrypts the root's key; without it a passphrase is made and left in a file.",
)
@FORCE
@AS_JSON
def init(
    data_dir: Path,
    table_count: int,
    organization: str,
    name: str,
    authority_id: str,
    public_url: str | None,
    ek_policy: str,
    ek_template: str,
    hosts: tuple[str, ...],
    plain_http: tuple[str, ...],
    ek_roots: Path | None,
    update_vendors: bool,
    root_passphrase_file: TextIO | None,
    force: bool,
    as_json: bool,
) -> None:
    """Make a new authority: root, intermediate and station certificates, key tables, an empty registry."""
    policy = EkPolicy(ek_policy)
    passphrase = read_root_passphrase(root_passphrase_file)
    url = ask_public_url(public_url, policy, ask=not as_json)
    web = WebConfig(hosts=list(hosts), plain_http=list(plain_http))
    config = settings(name, organization, authority_id, url, table_count, policy, EkTemplateName(ek_template), web)
    update_vendors = ask_update(update_vendors, policy, ask=ek_roots is None and not as_json)
    made = init_data_dir(data_dir, config, force=force, root_passphrase=passphrase, ek_roots=ek_roots)
    if update_vendors:
        with acting_as(owner_of(made.data_dir)):
            fetch(config.ek_roots(made.data_dir), quiet=as_json)
    warn_unreachable(config.authority, policy)
    if as_json:
        print_json(
            {
                "data_dir": str(made.data_dir),
                "tables": table_count,
                "ek_policy": ek_policy,
                "ek_template": ek_template,
                "replaced": str(made.replaced) if made.replaced else None,
                "root_key": str(made.root_key),
                "root_passphrase_file": str(made.root_passphrase) if made.root_passphrase else None,
            }
        )
        return
    click.echo(f"Made an authority with {table_count} key tables in {made.data_dir}.")
    print_replaced(made.data_dir, made.replaced)
    click.echo("Now move the root key to a safe place; the station never needs it:")
    click.echo(f"  {made.root_key}")
    if made.root_passphrase:
        click.echo(f"  {made.root_passphrase}   (to another place than the key)")
    click.echo(f"Then: birthmark-station serve --data-dir {made.data_dir}")
