"""Lists, shows, revokes and reinstates units over HTTP, and serves their certificates. Never returns a NUC hash."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from aiohttp import web
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from msgspec import Meta

from runtime.clock import unix_time
from shared import limits
from shared.errors import BirthmarkError
from shared.text import printable
from station.events import UnitChanged
from station.registry import queries, revocation
from station.registry.device import Device as Device
from station.registry.device import device_of
from station.registry.queries import PAGE_UNITS, Filter
from station.registry.records import UNKNOWN_AUTHORITY, Unit, UnitState
from station.registry.revocation import RevocationCode
from station.web import app_keys
from station.web.auth.access import Caller

PEM_CHAIN = "application/pem-certificate-chain"
DER = "application/pkix-cert"

_Text = Annotated[str, Meta(max_length=limits.SERIAL_CHARACTERS)]
_Seconds = Annotated[int, Meta(ge=0, le=2**40)]
Reason = Annotated[
    str,
    Meta(
        max_length=200,
        pattern="[0-9A-Za-z\u00c0-\u024f\u0370-\u03ff\u0410-\u044f\u0621-\u064a\u3041-\u30fa\u4e00-\u9fff\uac00-\ud7a3]",
    ),
]


class Devices(msgspec.Struct, frozen=True):
    total: Annotated[int, Meta(description="The number of units on all pages.")]
    devices: Annotated[list[Device], Meta(description="The latest first.")]
    cursor: Annotated[str | None, Meta(description="Send it to get the next page; None on the last.")]


class DevicesQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    device_family: Annotated[_Text, Meta(description="Only units of this family.")] = ""
    state: Annotated[
        UnitState | None,
        Meta(description="Only units in this state; without it, all but reserved and released units."),
    ] = None
    station: Annotated[_Text, Meta(description="Only units that this station provisioned.")] = ""
    search: Annotated[
        _Text,
        Meta(description="Only units whose serial number contains this; upper and lower case are alike."),
    ] = ""
    issued_since: Annotated[_Seconds | None, Meta(description="Seconds since 1970, inclusive.")] = None
    issued_before: Annotated[_Seconds | None, Meta(description="Seconds since 1970, exclusive.")] = None
    limit: Annotated[
        int,
        Meta(ge=1, le=PAGE_UNITS, description="The most units on a page."),
    ] = 100
    cursor: Annotated[
        str,
        Meta(pattern=r"^[0-9]{0,18}\Z", max_length=18, description="The `cursor` of the previous page."),
    ] = ""


class CertificateQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    format: Annotated[
        Literal["pem", "der"],
        Meta(
            description="`pem`: the certificate and those that issued it, if they are this authority's. "
            "`der`: the certificate alone."
        ),
    ] = "pem"


class Revocation(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    reason: Annotated[
        Reason,
        Meta(
            description="A text for people, with a letter or a digit; recorded in the audit log and shown on the page."
        ),
    ]
    code: Annotated[
        RevocationCode,
        Meta(description="The reason in RFC 5280. Only a unit with `certificateHold` can be reinstated."),
    ] = RevocationCode.HOLD


class Reinstatement(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    reason: Annotated[
        Reason, Meta(description="A text for people, with a letter or a digit; recorded in the audit log.")
    ]


async def list_devices(request: web.Request, query: DevicesQuery) -> Devices:
    """Raises `registry.cursor-invalid`."""
    wanted = Filter(
        state=query.state,
        family=query.device_family,
        station=query.station,
        serial_contains=query.search,
        issued_since=query.issued_since,
        issued_before=query.issued_before,
    )
    async with request.app[app_keys.SERVICES].database.read() as connection:
        page = await queries.page(connection, wanted, limit=query.limit, cursor=query.cursor)
        total = await queries.count(connection, wanted)
    return Devices(total, [device_of(unit) for unit in page.units], page.cursor)


async def get_device(request: web.Request, serial: str) -> Device:
    """Raises `registry.unknown-unit`."""
    return device_of(await _unit(request, serial))


async def get_certificate(request: web.Request, serial: str, query: CertificateQuery) -> web.Response:
    """Raises `registry.unknown-unit`."""
    unit = await _unit(request, serial)
    if unit.certificate is None:
        raise BirthmarkError("registry.unknown-unit", unit.serial)
    if query.format == "der":
        return web.Response(body=unit.certificate.der, content_type=DER)
    if unit.certificate.issuer == UNKNOWN_AUTHORITY:
        chain: tuple[bytes, ...] = (unit.certificate.der,)
    else:
        chain = request.app[app_keys.SERVICES].authority.issuer.chain_of(unit.certificate.der)
    pem = b"".join(x509.load_der_x509_certificate(der).public_bytes(Encoding.PEM) for der in chain)
    return web.Response(body=pem, content_type=PEM_CHAIN)


async def revoke(request: web.Request, serial: str, caller: Caller, body: Revocation) -> Device:
    """Raises `registry.unknown-unit`, `registry.already-revoked`."""
    station, reason = request.app[app_keys.SERVICES], printable(body.reason)
    now = unix_time(station.clock)
    async with station.database.write() as connection:
        unit = await revocation.revoke(connection, serial, body.code, reason, now, by=caller.name)
    station.bus.tell(UnitChanged(unit.serial))
    return device_of(unit)


async def reinstate(request: web.Request, serial: str, caller: Caller, body: Reinstatement) -> Device:
    """Raises `registry.unknown-unit`, `registry.not-revoked`, `registry.revoked-for-good`."""
    station, reason = request.app[app_keys.SERVICES], printable(body.reason)
    now = unix_time(station.clock)
    async with station.database.write() as connection:
        unit = await revocation.reinstate(connection, serial, reason, now, by=caller.name)
    station.bus.tell(UnitChanged(unit.serial))
    return device_of(unit)


async def _unit(request: web.Request, serial: str) -> Unit:
    async with request.app[app_keys.SERVICES].database.read() as connection:
        return await queries.by_serial(connection, serial)
