"""`birthmark-station station`: lists the certificates of the authority's stations, and revokes them."""

from __future__ import annotations

import asyncio
from pathlib import Path

import click

from runtime.clock import unix_time
from shared.errors import BirthmarkError
from shared.text import printable
from station.cli.common import AS_JSON, format_time, print_json
from station.cli.data_directory import DATA_DIR
from station.registry import stations
from station.registry.stations import StationCertificate
from station.setup.open import open_registry


@click.group()
def station() -> None:
    """Manage the certificates with which the authority's stations greet units."""


@station.command("list")
@DATA_DIR
@AS_JSON
def list_stations(data_dir: Path, as_json: bool) -> None:
    """List the stations' certificates, the earliest first."""

    async def read() -> list[StationCertificate]:
        async with open_registry(data_dir) as registry, registry.read() as connection:
            return await stations.list_all(connection)

    found = asyncio.run(read())
    if as_json:
        print_json([_public(one) for one in found])
        return
    for one in found:
        state = "valid" if one.valid(unix_time()) else "revoked" if one.revoked_at else "expired"
        click.echo(f"{one.name:24}{one.certificate_serial:42}{state:10}until {format_time(one.not_after)}")


@station.command()
@DATA_DIR
@click.argument("named", metavar="SERIAL|NAME")
@click.option("--reason", required=True, help="Why, in a sentence; the audit log keeps it.")
@AS_JSON
def revoke(data_dir: Path, named: str, reason: str, as_json: bool) -> None:
    """Revoke a station's certificate by its serial number, or all that bear a name: no unit believes it any longer.

    Units learn of it from the next station they meet. A revoked station that runs on this registry gets a certificate
    for a new key by itself. Against a thief who has the intermediate's key, too, only a new intermediate helps.
    """
    text = printable(reason)
    if not text:
        raise BirthmarkError("config.invalid", "--reason is empty")

    async def write() -> list[StationCertificate]:
        async with open_registry(data_dir) as registry, registry.write() as connection:
            return await stations.revoke(connection, named, text, unix_time())

    revoked = asyncio.run(write())
    if as_json:
        print_json([_public(one) for one in revoked])
        return
    for one in revoked:
        click.echo(f"Revoked {one.name}, certificate {one.certificate_serial}.")


def _public(one: StationCertificate) -> dict[str, object]:
    return {
        "name": one.name,
        "certificate_serial": one.certificate_serial,
        "not_before": one.not_before,
        "not_after": one.not_after,
        "revoked_at": one.revoked_at,
        "revoked_reason": one.revoked_reason,
        "valid": one.valid(unix_time()),
    }
