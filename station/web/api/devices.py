"""Lists, shows, revokes and reinstates units over HTTP, and serves their certificates. Never returns a NUC hash."""

from __future__ import annotations

import datetime as dt
from typing import Annotated, Literal

import msgspec
from aiohttp import web
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from msgspec import Meta

from shared import limits
from shared.errors import BirthmarkError
from shared.text import printable
from station.events import UnitChanged
from station.registry import queries, revocation, units
from station.registry.queries import PAGE_UNITS, Filter
from station.registry.records import KeyHolder, Unit, UnitState
from station.registry.revocation import RevocationCode
from station.registry.tokens import Scope
from station.web import app_keys
from station.web.auth.access import require
from station.web.http.bodies import json_response, read_json, read_query

PEM_CHAIN = "application/pem-certificate-chain"
DER = "application/pkix-cert"

_Text = Annotated[str, Meta(max_length=limits.SERIAL_CHARACTERS)]
_Seconds = Annotated[int, Meta(ge=0, le=2**40)]
_Reason = Annotated[
    str,
    Meta(
        max_length=200,
        pattern="[0-9A-Za-z\u00c0-\u024f\u0370-\u03ff\u0410-\u044f\u0621-\u064a\u3041-\u30fa\u4e00-\u9fff\uac00-\ud7a3]",
        description="What people read; it has a letter or a digit.",
    ),
]


class Device(msgspec.Struct, frozen=True):
    """A unit. Times are UTC, ISO 8601."""

    device_serial: str
    device_family: str
    table_assignments: list[int]
    provisioned_at: str | None
    """None until the unit has proven that it stores its certificate and tables."""
    state: UnitState
    key_holder: KeyHolder
    """Who made the private key. `tpm`: the unit's TPM. `software`: its owner. `station`: this station."""
    model: str
    issued_at: str | None
    """None for a reservation: its certificate is not yet signed."""
    duration_seconds: float | None
    certificate_serial: str
    """Hexadecimal; empty for a reservation."""
    certificate_not_after: str | None
    station: str
    port: str
    """Where it was provisioned: a serial port, or HTTP and the token's name."""
    ek_trust: str
    """`verified`, `unverified` or `simulated`; empty without a TPM."""
    ek_reason: str
    ek_anchor: str
    tpm_manufacturer: str
    tpm_model: str
    tpm_firmware: str
    revoked_at: str | None
    revoked_reason: str | None
    revoked_code: str | None
    closed_at: str | None
    """When it was released."""
    closed_reason: str | None


class Devices(msgspec.Struct, frozen=True):
    total: int
    """The number of units on all pages."""
    devices: list[Device]
    """The latest first."""
    cursor: str | None
    """Send it to get the next page; None on the last."""


class DevicesQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    device_family: _Text = ""
    """Only units of this family."""
    state: UnitState | None = None
    """Only units in this state; without it, all but reserved and released units."""
    station: _Text = ""
    """Only units that this station provisioned."""
    search: _Text = ""
    """Only units whose serial number contains this; upper and lower case are alike."""
    issued_since: _Seconds | None = None
    """Seconds since 1970, inclusive."""
    issued_before: _Seconds | None = None
    """Seconds since 1970, exclusive."""
    limit: Annotated[int, Meta(ge=1, le=PAGE_UNITS)] = 100
    """The most units on a page."""
    cursor: Annotated[str, Meta(pattern=r"^[0-9]{0,18}\Z", max_length=18)] = ""
    """The `cursor` of the previous page."""


class CertificateQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    format: Literal["pem", "der"] = "pem"
    """`pem`: the certificate and those that issued it. `der`: the certificate alone."""


class Revocation(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    reason: _Reason
    """A text for people, recorded in the audit log and shown on the page."""
    code: RevocationCode = RevocationCode.HOLD
    """The reason in RFC 5280. Only a unit with `certificateHold` can be reinstated."""


class Reinstatement(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    reason: _Reason
    """A text for people, recorded in the audit log."""


async def list_devices(request: web.Request) -> web.Response:
    """Raises `access.*`, `http.parameter-invalid`, `registry.cursor-invalid`."""
    await require(request, Scope.READ)
    asked = read_query(request, DevicesQuery)
    wanted = Filter(
        state=asked.state,
        family=asked.device_family,
        station=asked.station,
        serial_contains=asked.search,
        issued_since=asked.issued_since,
        issued_before=asked.issued_before,
    )
    async with request.app[app_keys.SERVICES].database.read() as connection:
        page = await queries.page(connection, wanted, limit=asked.limit, cursor=asked.cursor)
        total = await queries.count(connection, wanted)
    return json_response(Devices(total, [device(unit) for unit in page.units], page.cursor))


async def get_device(request: web.Request) -> web.Response:
    """Raises `access.*`, `registry.unknown-unit`."""
    await require(request, Scope.READ)
    return json_response(device(await _unit(request)))


async def get_certificate(request: web.Request) -> web.Response:
    """Raises `access.*`, `http.parameter-invalid`, `registry.unknown-unit`."""
    await require(request, Scope.READ)
    asked = read_query(request, CertificateQuery)
    unit = await _unit(request)
    if unit.certificate is None:
        raise BirthmarkError("registry.unknown-unit", unit.serial)
    if asked.format == "der":
        return web.Response(body=unit.certificate.der, content_type=DER)
    chain = request.app[app_keys.SERVICES].authority.issuer.chain_of(unit.certificate.der)
    pem = b"".join(x509.load_der_x509_certificate(der).public_bytes(Encoding.PEM) for der in chain)
    return web.Response(body=pem, content_type=PEM_CHAIN)


async def revoke(request: web.Request) -> web.Response:
    """Raises `access.*`, `http.*`, `registry.unknown-unit`, `registry.already-revoked`."""
    caller = await require(request, Scope.ADMIN)
    body = await read_json(request, Revocation)
    serial, reason = request.match_info["serial"], printable(body.reason)
    station, now = request.app[app_keys.SERVICES], int(request.app[app_keys.SERVICES].clock())
    async with station.database.write() as connection:
        unit = await revocation.revoke(connection, serial, body.code, reason, now, by=caller.name)
    station.bus.tell(UnitChanged(unit.serial))
    return json_response(device(unit))


async def reinstate(request: web.Request) -> web.Response:
    """Raises `access.*`, `http.*`, `registry.unknown-unit`, `registry.not-revoked`, `registry.revoked-for-good`."""
    caller = await require(request, Scope.ADMIN)
    body = await read_json(request, Reinstatement)
    serial, reason = request.match_info["serial"], printable(body.reason)
    station, now = request.app[app_keys.SERVICES], int(request.app[app_keys.SERVICES].clock())
    async with station.database.write() as connection:
        unit = await revocation.reinstate(connection, serial, reason, now, by=caller.name)
    station.bus.tell(UnitChanged(unit.serial))
    return json_response(device(unit))


async def _unit(request: web.Request) -> Unit:
    async with request.app[app_keys.SERVICES].database.read() as connection:
        return await queries.by_serial(connection, request.match_info["serial"])


def device(unit: Unit) -> Device:
    """Return a unit in the form of the HTTP interface."""
    return Device(
        device_serial=unit.serial,
        device_family=unit.family,
        table_assignments=list(unit.tables),
        provisioned_at=_iso_or_none(unit.provisioned_at),
        state=unit.state,
        key_holder=unit.key_holder,
        model=unit.model,
        issued_at=_iso_or_none(unit.issued_at),
        duration_seconds=None if unit.duration_ms is None else unit.duration_ms / 1000,
        certificate_serial=units.certificate_serial(unit),
        certificate_not_after=_iso_or_none(unit.certificate.not_after if unit.certificate else None),
        station=unit.station,
        port=unit.port,
        ek_trust=unit.ek_trust,
        ek_reason=unit.ek_reason,
        ek_anchor=unit.ek_anchor,
        tpm_manufacturer=unit.tpm_manufacturer,
        tpm_model=unit.tpm_model,
        tpm_firmware=unit.tpm_firmware,
        revoked_at=_iso_or_none(unit.revoked_at),
        revoked_reason=unit.revoked_reason,
        revoked_code=unit.revoked_code,
        closed_at=_iso_or_none(unit.closed_at),
        closed_reason=unit.closed_reason,
    )


def _iso_or_none(seconds: int | None) -> str | None:
    return None if seconds is None else _iso(seconds)


def _iso(seconds: int) -> str:
    return dt.datetime.fromtimestamp(seconds, dt.UTC).isoformat()
