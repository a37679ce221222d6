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
from station.web import app_keys
from station.web.auth.access import Caller

PEM_CHAIN = "application/pem-certificate-chain"
DER = "application/pkix-cert"

_Text = Annotated[str, Meta(max_length=limits.SERIAL_CHARACTERS)]
_Seconds = Annotated[int, Meta(ge=0, le=2**40)]
_Reason = Annotated[
    str,
    Meta(
        max_length=200,
        pattern="[0-9A-Za-z\u00c0-\u024f\u0370-\u03ff\u0410-\u044f\u0621-\u064a\u3041-\u30fa\u4e00-\u9fff\uac00-\ud7a3]",
    ),
]


class Device(msgspec.Struct, frozen=True):
    """A unit. Times are UTC, ISO 8601."""

    device_serial: str
    device_family: str
    table_assignments: list[int]
    provisioned_at: Annotated[
        str | None,
        Meta(description="None until the unit has proven that it stores its certificate and tables."),
    ]
    state: UnitState
    key_holder: Annotated[
        KeyHolder,
        Meta(
            description="Who made the private key. "
            "`tpm`: the unit's TPM. `software`: its owner. `station`: this station.",
        ),
    ]
    model: str
    issued_at: Annotated[str | None, Meta(description="None for a reservation: its certificate is not yet signed.")]
    duration_seconds: float | None
    certificate_serial: Annotated[str, Meta(description="Hexadecimal; empty for a reservation.")]
    certificate_not_after: str | None
    station: str
    port: Annotated[str, Meta(description="Where it was provisioned: a serial port, or HTTP and the token's name.")]
    ek_trust: Annotated[str, Meta(description="`verified`, `unverified` or `simulated`; empty without a TPM.")]
    ek_reason: str
    ek_anchor: str
    tpm_manufacturer: str
    tpm_model: str
    tpm_firmware: str
    revoked_at: str | None
    revoked_reason: str | None
    revoked_code: str | None
    closed_at: Annotated[str | None, Meta(description="When it was released.")]
    closed_reason: str | None


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
        Meta(description="`pem`: the certificate and those that issued it. `der`: the certificate alone."),
    ] = "pem"


class Revocation(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    reason: Annotated[
        _Reason,
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
        _Reason, Meta(description="A text for people, with a letter or a digit; recorded in the audit log.")
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
    return Devices(total, [device(unit) for unit in page.units], page.cursor)


async def get_device(request: web.Request, serial: str) -> Device:
    """Raises `registry.unknown-unit`."""
    return device(await _unit(request, serial))


async def get_certificate(request: web.Request, serial: str, query: CertificateQuery) -> web.Response:
    """Raises `registry.unknown-unit`."""
    unit = await _unit(request, serial)
    if unit.certificate is None:
        raise BirthmarkError("registry.unknown-unit", unit.serial)
    if query.format == "der":
        return web.Response(body=unit.certificate.der, content_type=DER)
    chain = request.app[app_keys.SERVICES].authority.issuer.chain_of(unit.certificate.der)
    pem = b"".join(x509.load_der_x509_certificate(der).public_bytes(Encoding.PEM) for der in chain)
    return web.Response(body=pem, content_type=PEM_CHAIN)


async def revoke(request: web.Request, serial: str, caller: Caller, body: Revocation) -> Device:
    """Raises `registry.unknown-unit`, `registry.already-revoked`."""
    station, reason = request.app[app_keys.SERVICES], printable(body.reason)
    now = int(station.clock())
    async with station.database.write() as connection:
        unit = await revocation.revoke(connection, serial, body.code, reason, now, by=caller.name)
    station.bus.tell(UnitChanged(unit.serial))
    return device(unit)


async def reinstate(request: web.Request, serial: str, caller: Caller, body: Reinstatement) -> Device:
    """Raises `registry.unknown-unit`, `registry.not-revoked`, `registry.revoked-for-good`."""
    station, reason = request.app[app_keys.SERVICES], printable(body.reason)
    now = int(station.clock())
    async with station.database.write() as connection:
        unit = await revocation.reinstate(connection, serial, reason, now, by=caller.name)
    station.bus.tell(UnitChanged(unit.serial))
    return device(unit)


async def _unit(request: web.Request, serial: str) -> Unit:
    async with request.app[app_keys.SERVICES].database.read() as connection:
        return await queries.by_serial(connection, serial)


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
