"""Provisions units over HTTP: one, or many in one request, each independently of the others.

Answers hold secrets; the station neither stores nor logs them.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator
from typing import Annotated, Final

import msgspec
from aiohttp import web
from msgspec import Meta

from shared import limits
from shared.birthmark.provisioning import Provisioning as Provisioning
from shared.errors import BirthmarkError
from station.provisioning.offline import ProvisioningRequest
from station.web import app_keys
from station.web.auth.access import Caller
from station.web.endpoint import Reply
from station.web.http.bodies import decode_json
from station.web.http.problems import Problem, problem_of

log = logging.getLogger(__name__)

BULK_UNITS: Final = 1000
BULK_BYTES: Final = 4 * 1024 * 1024
"""A thousand units with a CSR each are 1 MB."""


class BulkRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    devices: Annotated[
        list[msgspec.Raw],
        Meta(
            min_length=1,
            max_length=BULK_UNITS,
            description="A request for each unit, as for a single one. An invalid one does not affect the others.",
        ),
    ]


class BulkResult(msgspec.Struct, frozen=True, omit_defaults=True):
    """A line of the answer, with either `provisioning` or `problem`."""

    index: Annotated[int, Meta(description="The unit's place in the request, from 0.")]
    status: Annotated[
        int,
        Meta(description="The status of the same request for this one unit: 201, 400, 403, 409, 500 or 503."),
    ]
    provisioning: Provisioning | None = None
    problem: Problem | None = None


async def provision_one(request: web.Request, caller: Caller, body: ProvisioningRequest) -> Reply:
    """Raises the errors of `OfflineProvisioner.provision`."""
    made = await _provision_offline(request, caller, body)
    return Reply(made, headers={"Location": f"/api/v1/devices/{made.device_serial}"})


class Phase2Request(msgspec.Struct, frozen=True):
    """The public SMA's request for a unit in its second form; nothing of it is used."""

    device_serial: Annotated[str, Meta(max_length=limits.SERIAL_CHARACTERS)] = ""

    def __repr__(self) -> str:
        return "Phase2Request()"


async def refuse_phase2(body: Phase2Request) -> Provisioning:
    """Raises `provisioning.phase-two-refused`, always: its answer would be a private key and 3,000 token keys."""
    raise BirthmarkError("provisioning.phase-two-refused")


async def provision_many(request: web.Request, caller: Caller, body: BulkRequest) -> AsyncGenerator[BulkResult, None]:
    """Provision each unit when the result of the one before is sent."""
    for index, raw in enumerate(body.devices):
        yield await _provision_line(request, caller, index, bytes(raw))


async def _provision_line(request: web.Request, caller: Caller, index: int, raw: bytes) -> BulkResult:
    try:
        made = await _provision_offline(request, caller, decode_json(raw, ProvisioningRequest))
    except BirthmarkError as error:
        problem = problem_of(error)
    except Exception:  # the answer has begun: report the bug in the unit's line and go on
        log.exception("provisioning unit %d of many: a bug", index)
        problem = problem_of(BirthmarkError("http.internal"))
    else:
        return BulkResult(index, 201, provisioning=made)
    return BulkResult(index, problem.status, problem=problem)


async def _provision_offline(request: web.Request, caller: Caller, wanted: ProvisioningRequest) -> Provisioning:
    counter = request.app[app_keys.METRICS].provision_requests
    try:
        made = await request.app[app_keys.SERVICES].offline_provisioner.provision(wanted, f"HTTP, {caller.name}")
    except BirthmarkError as error:
        counter.labels("refused", error.code).inc()
        raise
    counter.labels("provisioned", "").inc()
    return made.provisioning()
