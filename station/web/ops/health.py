"""`/health` says that the station runs, with counts; `/ready` whether it can do its work. Both are for monitoring."""

from __future__ import annotations

import datetime as dt
from collections import Counter
from typing import Annotated

import msgspec
from aiohttp import web
from msgspec import Meta

from runtime.clock import iso_time
from shared.errors import BirthmarkError
from station.registry import units
from station.registry.records import COUNTED
from station.services import Services
from station.web import app_keys
from station.web.endpoint import Reply


class Health(msgspec.Struct, frozen=True):
    """Birthmark's own SMA answers `service`, `status`, `timestamp` and the totals."""

    service: str
    status: str
    version: str
    timestamp: str
    uptime_seconds: int
    total_devices: Annotated[int, Meta(description="Units that are not released.")]
    total_tables: int
    units: Annotated[dict[str, int], Meta(description="Number of units by state.")]
    ports: Annotated[dict[str, int], Meta(description="Number of ports by state; only states that a port is in.")]
    vendor_certificates: Annotated[int, Meta(description="The number of TPM vendors' certificates in use.")]
    vendor_problems: Annotated[
        int,
        Meta(
            description="The number of their files and certificates that cannot be used; "
            "the page and the log name them.",
        ),
    ]


async def health(request: web.Request) -> Health:
    """Raises `registry.unavailable`: a station without its registry is not healthy."""
    app, station = request.app, request.app[app_keys.SERVICES]
    async with station.database.read() as connection:
        counts = await units.count_by_state(connection)
    vendors = station.vendors.roots
    now = station.clock()
    return Health(
        service="sma",
        status="healthy",
        version=app[app_keys.VERSION],
        timestamp=iso_time(now),
        uptime_seconds=max(0, int(now - app[app_keys.STARTED])),
        total_devices=sum(counts[state] for state in COUNTED),
        total_tables=station.config.tables.count,
        units={state.value: count for state, count in counts.items()},
        vendor_certificates=vendors.count,
        vendor_problems=len(vendors.problems),
        ports=dict(Counter(port.state.value for port in station.bus.ports())),
    )


class Ready(msgspec.Struct, frozen=True):
    status: Annotated[str, Meta(description="`ready`, or `not ready` when one of the others is false.")]
    registry: Annotated[bool, Meta(description="Whether the registry can be read.")]
    authority: Annotated[bool, Meta(description="Whether the authority's certificates are valid now.")]
    tables: Annotated[bool, Meta(description="Whether as many key tables are loaded as the settings say.")]


async def ready(request: web.Request) -> Reply:
    """Answer 200 when the station can do its work, else 503."""
    station = request.app[app_keys.SERVICES]
    registry, authority = await _registry(station), _authority(station)
    whole = len(station.tables) == station.config.tables.count
    well = registry and authority and whole
    return Reply(Ready("ready" if well else "not ready", registry, authority, whole), 200 if well else 503)


async def _registry(station: Services) -> bool:
    try:
        async with station.database.read() as connection:
            await units.count_by_state(connection)
    except BirthmarkError:
        return False
    return True


def _authority(station: Services) -> bool:
    now = dt.datetime.fromtimestamp(station.clock(), dt.UTC)
    authority = station.authority
    certificates = (
        authority.certificates.root,
        authority.certificates.intermediate,
        station.own.identity().certificate,
    )
    return all(c.not_valid_before_utc <= now <= c.not_valid_after_utc for c in certificates)
