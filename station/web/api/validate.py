"""`/validate` and `/validate-cert`: answer PASS or FAIL in Birthmark's form. Neither answer nor log names the unit.

A FAIL has status 200, also for JSON that holds no token or bundle: the aggregator takes any other status for a fault of
the authority. What is not JSON is an error.
"""

from __future__ import annotations

from typing import Annotated, Final

import msgspec
from aiohttp import web
from msgspec import Meta

from shared.birthmark.legacy_token import LegacyToken
from shared.birthmark.nuc_token import NucToken
from station.validation.certificates import CameraBundle
from station.validation.verdict import FAIL_MESSAGE, Reason, Verdict
from station.web import app_keys
from station.web.ops.metrics import CERTIFICATE, TOKEN

BUNDLE_BYTES: Final = 128 * 1024
"""Enough for the longest certificate that the bundle's schema allows, and the other fields."""


AUTHORITY_ID_CHARACTERS: Final = 4096
"""Birthmark sets no limit; real ones are some twenty characters."""


class TokenRequest(msgspec.Struct, frozen=True):
    """What the aggregator posts. Unknown fields are ignored."""

    camera_token: NucToken
    manufacturer_authority_id: Annotated[
        Annotated[str, Meta(max_length=AUTHORITY_ID_CHARACTERS)] | None,
        Meta(description="The authority that the camera names; it does not change the answer."),
    ] = None


class Validation(msgspec.Struct, frozen=True):
    valid: bool
    message: Annotated[str | None, Meta(description="A fixed text for PASS and one for FAIL, whatever the reason.")]


UNFIT: Final = Validation(valid=False, message=FAIL_MESSAGE)
"""The answer to JSON that holds no token or bundle: the same as to one that fails."""


async def validate_token(request: web.Request, body: TokenRequest | LegacyToken) -> Validation:
    """Raises `registry.unavailable`."""
    tokens = request.app[app_keys.SERVICES].tokens
    if isinstance(body, LegacyToken):
        return _tell(request, TOKEN, await tokens.validate_legacy(body))
    return _tell(request, TOKEN, await tokens.validate(body.camera_token))


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
