"""`birthmark-station open`: prints a link that opens the page, for whoever can read the data directory."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import click

from runtime.clock import unix_time
from runtime.owner import ROOT, acting_as, become, owner_of
from shared.errors import BirthmarkError
from station.cli import service
from station.cli.common import AS_JSON, print_json
from station.cli.data_directory import OWN_DATA_DIR, SERVICE_DATA_DIR
from station.config import AuthorityConfig
from station.registry import links
from station.registry.database import Database
from station.secrets.station_secret import StationSecret
from station.setup import data_dir as data_directory
from station.setup.data_lock import page_of
from station.setup.open import open_registry
from station.web.http.clients import is_loopback_name

MINUTES: Final = links.SECONDS // 60


@click.command("open")
@OWN_DATA_DIR
@AS_JSON
def open_page(data_dir: Path, as_json: bool) -> None:
    """Print a link that opens the page: once, within two minutes, in a browser on this machine or through `ssh -L`.

    Starts the service if it does not run.
    """
    owner = owner_of(data_dir)
    with acting_as(owner):
        data_directory.check(data_dir, supplied=StationSecret.supplied())
        page = page_of(data_dir)
    if page is None and data_dir == SERVICE_DATA_DIR and os.geteuid() == ROOT and service.systemd_runs():
        service.start()
    become(owner)
    page = page or page_of(data_dir)
    if page is None:
        raise BirthmarkError("data.not-served", str(data_dir))

    async def write() -> str:
        async with open_registry(data_dir) as registry:
            return await make_link(registry, page)

    link = asyncio.run(write())
    if as_json:
        print_json({"link": link, "seconds": links.SECONDS})
    else:
        click.echo(link)
        click.echo(f"It opens the page once, within {MINUTES} minutes.", err=True)


async def make_link(registry: Database, page: str) -> str:
    """Return a new link to the page at the address `page`. Its secret is for the eyes of who runs this command."""
    async with registry.write() as connection:
        return f"{page}open#{await links.create(connection, unix_time())}"


def page_address(served: str, config: AuthorityConfig, *, behind_proxy: bool) -> str:
    """Return the address at which a browser reaches the page: on loopback if it is served there, else the public one.

    `served` is what `Listener.start` returns.
    """
    addresses = [_on_loopback(address) for address in served.split(" and ") if address.startswith("http")]
    here = [address for address in addresses if is_loopback_name(urlsplit(address).hostname or "")]
    if here and not behind_proxy:
        return here[0]
    public = config.public_url.rstrip("/") + "/"
    return public if addresses == [] or not config.local_only else addresses[0]


def _on_loopback(address: str) -> str:
    """Return where this machine reaches what is served in the clear on all addresses; another address as it is."""
    for everywhere, loopback in (("http://0.0.0.0:", "http://127.0.0.1:"), ("http://[::]:", "http://[::1]:")):
        if address.startswith(everywhere):
            return loopback + address.removeprefix(everywhere)
    return address
