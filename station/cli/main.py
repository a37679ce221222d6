"""The command group of all the station's commands, each imported when it is used: to list them needs no web server."""

from __future__ import annotations

import logging
from typing import Final

import click

from runtime.commands import CommandGroup, LaterCommand

COMMANDS: Final = (
    ("setup", "station.cli.setup:setup", "Make the station and start its service."),
    ("init", "station.cli.init:init", "Make a new authority: certificates, key tables, registry."),
    ("serve", "station.cli.serve:serve", "Provision what is plugged in, and serve the page."),
    ("open", "station.cli.page_link:open_page", "Print a link that opens the page once."),
    ("tpm-vendors", "station.cli.tpm_vendors:tpm_vendors", "Show and complete the TPM vendors' certificates."),
    ("ek", "station.cli.ek:ek", "Check the EK certificates of TPM vendors."),
    ("devices", "station.cli.units:devices", "List the units of this registry, the latest first."),
    ("device", "station.cli.units:device", "Show one unit, by its serial number or its NUC hash."),
    ("release", "station.cli.units:release", "Release a unit, to be provisioned anew."),
    ("revoke", "station.cli.units:revoke", "Revoke a unit: it fails validation from now on."),
    ("reinstate", "station.cli.units:reinstate", "Take back the revocation of a unit that is on hold."),
    ("provision", "station.cli.provision:provision", "Provision a unit without a cable, into a file."),
    ("station", "station.cli.station:station", "Manage the certificates of the authority's stations."),
    ("stats", "station.cli.stats:stats", "Show how many units there are, and how long one takes."),
    ("tables", "station.cli.stats:tables", "Show the authority's key tables."),
    ("tokens", "station.cli.tokens:tokens", "Manage the bearer tokens of the HTTP interface."),
    ("audit", "station.cli.audit:audit", "Show what was issued, refused, released or revoked."),
    ("backup", "station.cli.backup:backup", "Write the whole station, secrets included, to a file."),
    ("restore", "station.cli.backup:restore", "Make a data directory from a backup, or nothing."),
    ("import", "station.cli.import_sma:import_directory", "Make a data directory from the public SMA's."),
    ("export", "station.cli.export:export", "Write the station as the public SMA's directory."),
    ("derive-vectors", "station.cli.vectors:derive_vectors", "Print derived keys for well-known master keys."),
)


@click.group(cls=CommandGroup)
@click.version_option(package_name="birthmark-provisioning")
@click.option("--verbose", is_flag=True, help="Log what happens in detail, with tracebacks.")
def main(verbose: bool) -> None:
    """The provisioning station: turns Raspberry Pis into cameras that can prove their photos.

    A command works on the data directory that --data-dir or BIRTHMARK_DATA_DIR names, else on that of the service,
    /var/lib/birthmark-station/data. Run by root, it works as the directory's owner.
    """
    logging.basicConfig(
        level=logging.DEBUG if verbose else logging.WARNING, format="%(asctime)s %(levelname)s %(name)s: %(message)s"
    )
    # Libraries' debug lines would print what crosses the cable and the database.
    for name in ("serialx", "aiosqlite", "sqlalchemy", "asyncio"):
        logging.getLogger(name).setLevel(logging.WARNING)


for _command in COMMANDS:
    main.add_command(LaterCommand(*_command))
