"""`/validate` and `/validate-cert`: answer PASS or FAIL in Birthmark's form. Neither answer nor log names the unit.

A FAIL has status 200, as the Aggregator expects; only a malformed request is an error.
"""

from __future__ import annotations

from typing import Annotated, Final

import msgspec
from aiohttp import web
from msgspec import Meta

from shared.birthmark.nuc_token import NucToken
from station.validation.certificates import CameraBundle
from station.validation.verdict import Reason, Verdict
from station.web import app_keys
from station.web.ops.metrics import CERTIFICATE, TOKEN

BUNDLE_BYTES: Final = 128 * 1024
"""Enough for the longest certificate that the bundle's schema allows, and the other fields."""


class TokenRequest(msgspec.Struct, frozen=True):
    """What the aggregator posts. Unknown fields are ignored."""

    camera_token: NucToken
    manufacturer_authority_id: Annotated[
        Annotated[str, Meta(max_length=256)] | None,
        Meta(description="The authority that the camera names; it does not change the answer."),
    ] = None


class Validation(msgspec.Struct, frozen=True):
    valid: bool
    message: Annotated[str | None, Meta(description="A fixed text for PASS and one for FAIL, whatever the reason.")]


async def validate_token(request: web.Request, body: TokenRequest) -> Validation:
    """Raises `registry.unavailable`."""
    return _tell(request, TOKEN, await request.app[app_keys.SERVICES].tokens.validate(body.camera_token))


async def validate_certificate(request: web.Request, body: CameraBundle) -> Validation:
    """Raises `registry.unavailable`."""
    return _tell(request, CERTIFICATE, await request.app[app_keys.SERVICES].certificates.validate(body))


def count_bad_token(request: web.Request) -> None:
    request.app[app_keys.METRICS].count_validation(TOKEN, Reason.MALFORMED)


def count_bad_certificate(request: web.Request) -> None:
    request.app[app_keys.METRICS].count_validation(CERTIFICATE, Reason.MALFORMED)


def _tell(request: web.Request, kind: str, verdict: Verdict) -> Validation:
    request.app[app_keys.METRICS].count_validation(kind, verdict.reason)
    return Validation(verdict.valid, verdict.message)
