"""`/validate` and `/validate-cert`: answer PASS or FAIL in Birthmark's form. Neither answer nor log names the unit.

A FAIL has status 200, as the Aggregator expects; only a malformed request is an error.
"""

from __future__ import annotations

from typing import Annotated

import msgspec
from aiohttp import web
from msgspec import Meta

from shared.birthmark.nuc_token import NucToken
from shared.errors import BirthmarkError
from station.validation.certificates import CameraBundle
from station.validation.verdict import Reason, Verdict
from station.web import app_keys
from station.web.http.bodies import json_response, read_json
from station.web.ops.metrics import CERTIFICATE, TOKEN


class TokenRequest(msgspec.Struct, frozen=True):
    """What the aggregator posts. Unknown fields are ignored."""

    camera_token: NucToken
    manufacturer_authority_id: Annotated[str, Meta(max_length=256)] | None = None
    """The authority that the camera names; it does not change the answer."""


class Validation(msgspec.Struct, frozen=True):
    valid: bool
    message: str | None
    """A fixed text for PASS and one for FAIL, whatever the reason."""


async def validate_token(request: web.Request) -> web.Response:
    """Raises `http.*` for a body of another form, and `registry.unavailable`."""
    metrics = request.app[app_keys.METRICS]
    try:
        body = await read_json(request, TokenRequest)
    except BirthmarkError:
        metrics.count_validation(TOKEN, Reason.MALFORMED)
        raise
    verdict = await request.app[app_keys.SERVICES].tokens.validate(body.camera_token)
    metrics.count_validation(TOKEN, verdict.reason)
    return _respond(verdict)


async def validate_certificate(request: web.Request) -> web.Response:
    """Raises `http.*` for a body of another form, and `registry.unavailable`."""
    metrics = request.app[app_keys.METRICS]
    try:
        bundle = await read_json(request, CameraBundle, _BUNDLE_BYTES)
    except BirthmarkError:
        metrics.count_validation(CERTIFICATE, Reason.MALFORMED)
        raise
    verdict = await request.app[app_keys.SERVICES].certificates.validate(bundle)
    metrics.count_validation(CERTIFICATE, verdict.reason)
    return _respond(verdict)


_BUNDLE_BYTES = 128 * 1024
"""Enough for the longest certificate that the bundle's schema allows, and the other fields."""


def _respond(verdict: Verdict) -> web.Response:
    return json_response(Validation(verdict.valid, verdict.message))
