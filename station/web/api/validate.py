"""`/validate` and `/validate-cert`: PASS or FAIL, in Birthmark's words. Which unit it was is neither told nor logged.

A FAIL is a 200, as the aggregator expects; only a request that does not have the form is an error.
"""

from __future__ import annotations

from typing import Annotated

import msgspec
from aiohttp import web
from msgspec import Meta

from shared.errors import BirthmarkError
from shared.nuc_token import NucToken
from station.validation.certificates import CameraBundle
from station.validation.verdict import Reason, Verdict
from station.web import keys
from station.web.api.bodies import answered, read_json
from station.web.metrics import CERTIFICATE, TOKEN


class TokenRequest(msgspec.Struct, frozen=True):
    """What the aggregator posts. Fields that later versions add are ignored."""

    camera_token: NucToken
    manufacturer_authority_id: Annotated[str, Meta(max_length=256)] | None = None
    """Whom the camera names; it does not change the answer."""


class Validation(msgspec.Struct, frozen=True):
    valid: bool
    message: str | None
    """PASS or FAIL; every FAIL has the same, whatever the reason."""


async def token(request: web.Request) -> web.Response:
    """Raises `http.*` for a body of another form, and `registry.unavailable`."""
    metrics = request.app[keys.METRICS]
    try:
        body = await read_json(request, TokenRequest)
    except BirthmarkError:
        metrics.validated(TOKEN, Reason.MALFORMED)
        raise
    verdict = await request.app[keys.TOKENS].validate(body.camera_token)
    metrics.validated(TOKEN, verdict.reason)
    return _told(verdict)


async def certificate(request: web.Request) -> web.Response:
    """Raises `http.*` for a body of another form, and `registry.unavailable`."""
    metrics = request.app[keys.METRICS]
    try:
        bundle = await read_json(request, CameraBundle, _BUNDLE_BYTES)
    except BirthmarkError:
        metrics.validated(CERTIFICATE, Reason.MALFORMED)
        raise
    verdict = await request.app[keys.CERTIFICATES].validate(bundle)
    metrics.validated(CERTIFICATE, verdict.reason)
    return _told(verdict)


_BUNDLE_BYTES = 128 * 1024
"""The longest certificate that the bundle's schema allows, and the rest of it."""


def _told(verdict: Verdict) -> web.Response:
    return answered(Validation(verdict.valid, verdict.message))
