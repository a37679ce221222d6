"""The command group of all the station's commands."""

from __future__ import annotations

import logging

import click

from station.cli.audit import audit
from station.cli.backup import backup, restore
from station.cli.common import CommandGroup
from station.cli.ek import ek
from station.cli.export import export
from station.cli.import_sma import import_directory
from station.cli.init import init
from station.cli.page_link import open_page
from station.cli.provision import provision
from station.cli.serve import serve
from station.cli.setup import setup
from station.cli.station import station
from station.cli.stats import stats, tables
from station.cli.tokens import tokens
from station.cli.tpm_vendors import tpm_vendors
from station.cli.units import device, devices, reinstate, release, revoke
from station.cli.vectors import derive_vectors


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


for _command in (
    setup,
    init,
    serve,
    open_page,
    tpm_vendors,
    ek,
    devices,
    device,
    release,
    revoke,
    reinstate,
    provision,
    station,
    stats,
    tables,
    tokens,
    audit,
    backup,
    restore,
    import_directory,
    export,
    derive_vectors,
):
    main.add_command(_command)
