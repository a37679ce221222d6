"""A unit as other programs see it: in the HTTP interface and in `--json`. Never its NUC hash."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from runtime.clock import iso_time
from station.registry.records import UNKNOWN_AUTHORITY, KeyHolder, Unit, UnitState
from station.registry.units import certificate_serial
from station.registry.validations import DAY_SECONDS


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
    certificate_authority: Annotated[
        Literal["own", "unknown", ""],
        Meta(
            description="`unknown`: another authority signed it, so it is never valid here, though tokens are; "
            "empty for a reservation."
        ),
    ]
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
    validated_on: Annotated[str | None, Meta(description="The latest day, in UTC, on which a validation passed.")]
    validations_that_day: int
    validations_total: Annotated[
        int, Meta(description="Those that passed, or would have but for the daily limit. Up to ten seconds late.")
    ]


def device_of(unit: Unit) -> Device:
    """Return a unit as other programs see it."""
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
        certificate_serial=certificate_serial(unit),
        certificate_authority=_authority(unit),
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
        validated_on=iso_time(unit.validated.day * DAY_SECONDS)[:10] if unit.validated.total else None,
        validations_that_day=unit.validated.on_day,
        validations_total=unit.validated.total,
    )


def _authority(unit: Unit) -> Literal["own", "unknown", ""]:
    if unit.certificate is None:
        return ""
    return "unknown" if unit.certificate.issuer == UNKNOWN_AUTHORITY else "own"


def _iso_or_none(seconds: int | None) -> str | None:
    return None if seconds is None else iso_time(seconds)
