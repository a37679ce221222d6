"""Addresses of Birthmark's public authority for what other addresses do here: a unit's status, and the blacklist.

Blacklisted is what we call revoked; to blacklist is to revoke on hold, so that it can be taken back.
"""

from __future__ import annotations

from typing import Annotated

import msgspec
from aiohttp import web
from msgspec import Meta

from runtime.clock import iso_time
from shared.errors import BirthmarkError
from station.registry import queries
from station.registry.device import Device, device_of
from station.registry.queries import PAGE_UNITS, Filter
from station.registry.records import UnitState
from station.web import app_keys
from station.web.api import devices
from station.web.api.devices import Reason, Reinstatement, Revocation
from station.web.auth.access import Caller


class DeviceStatus(msgspec.Struct, frozen=True):
    device_serial: str
    device_family: str
    provisioned_at: str | None
    is_blacklisted: Annotated[bool, Meta(description="Whether the unit is revoked, on hold or for good.")]
    blacklisted_at: str | None
    blacklist_reason: str | None
    submissions_24h: Annotated[int, Meta(description="Its validations on this day, in UTC.")]
    submissions_total: int
    key_table_indices: list[int]


class BlacklistedDevice(msgspec.Struct, frozen=True):
    device_serial: str
    device_family: str
    blacklisted_at: str | None
    blacklist_reason: str | None


class Blacklist(msgspec.Struct, frozen=True):
    total_blacklisted: Annotated[int, Meta(description="The number of units on all pages.")]
    devices: list[BlacklistedDevice]
    cursor: Annotated[str | None, Meta(description="Send it to get the next page; None on the last.")]


class BlacklistQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    cursor: Annotated[
        str,
        Meta(pattern=r"^[0-9]{0,18}\Z", max_length=18, description="The `cursor` of the previous page."),
    ] = ""


class BlacklistingQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    reason: Annotated[
        Reason, Meta(description="A text for people, with a letter or a digit; recorded in the audit log.")
    ] = "Manual blacklist via API"


class Blacklisting(msgspec.Struct, frozen=True, omit_defaults=True):
    device_serial: str
    blacklisted: bool
    timestamp: str
    reason: Annotated[
        str | None, Meta(description="Of a blacklisted unit: why; an earlier reason is not overwritten.")
    ] = None


async def get_status(request: web.Request, serial: str) -> DeviceStatus:
    """Raises `registry.unknown-unit`."""
    station = request.app[app_keys.SERVICES]
    async with station.database.read() as connection:
        unit = await queries.by_serial(connection, serial)
    seen = device_of(unit)
    return DeviceStatus(
        device_serial=seen.device_serial,
        device_family=seen.device_family,
        provisioned_at=seen.provisioned_at,
        is_blacklisted=seen.state is UnitState.REVOKED,
        blacklisted_at=seen.revoked_at,
        blacklist_reason=seen.revoked_reason,
        submissions_24h=station.counts.on(station.counts.today(), unit.id, unit.validated),
        submissions_total=unit.validated.total + station.counts.waiting(unit.id),
        key_table_indices=seen.table_assignments,
    )


async def get_blacklist(request: web.Request, query: BlacklistQuery) -> Blacklist:
    """Raises `registry.cursor-invalid`."""
    revoked = Filter(state=UnitState.REVOKED)
    async with request.app[app_keys.SERVICES].database.read() as connection:
        page = await queries.page(connection, revoked, limit=PAGE_UNITS, cursor=query.cursor)
        total = await queries.count(connection, revoked)
    return Blacklist(
        total,
        [
            BlacklistedDevice(seen.device_serial, seen.device_family, seen.revoked_at, seen.revoked_reason)
            for seen in map(device_of, page.units)
        ],
        page.cursor,
    )


async def blacklist(request: web.Request, serial: str, caller: Caller, query: BlacklistingQuery) -> Blacklisting:
    """Revoke a unit on hold; one that is revoked stays as it is. Raises `registry.unknown-unit`."""
    try:
        seen = await devices.revoke(request, serial, caller, Revocation(query.reason))
    except BirthmarkError as error:
        if error.code != "registry.already-revoked":
            raise
        seen = await devices.get_device(request, serial)
    return _blacklisting(request, seen)


async def unblacklist(request: web.Request, serial: str, caller: Caller) -> Blacklisting:
    """Reinstate a unit on hold; one that is not revoked stays as it is.

    Raises `registry.unknown-unit`, `registry.revoked-for-good`.
    """
    try:
        seen = await devices.reinstate(request, serial, caller, Reinstatement("Taken from the blacklist via API"))
    except BirthmarkError as error:
        if error.code != "registry.not-revoked":
            raise
        seen = await devices.get_device(request, serial)
    return _blacklisting(request, seen)


def _blacklisting(request: web.Request, seen: Device) -> Blacklisting:
    now = iso_time(request.app[app_keys.SERVICES].clock())
    return Blacklisting(seen.device_serial, seen.state is UnitState.REVOKED, now, seen.revoked_reason)
