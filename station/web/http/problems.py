"""Turns errors into answers: problem details (RFC 9457) for programs, a plain page for browsers, never a stack trace.

An error's detail is for the operator and may name a path or quote the database. Clients get only the detail of
`http.*` and `access.*`, which are about the request itself.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Annotated, Final

import msgspec
from aiohttp import web
from msgspec import Meta

from shared.errors import BirthmarkError, ErrorCode
from station.provisioning.offline import FIELD_OF
from station.web import app_keys
from station.web.http.negotiation import asks_for_page

STATUS: Final[dict[ErrorCode, int]] = {
    "access.denied": 401,
    "access.link-invalid": 403,
    "access.page-key-missing": 403,
    "access.required": 401,
    "access.scope-missing": 403,
    "provisioning.csr-key-unsupported": 400,
    "provisioning.csr-malformed": 400,
    "provisioning.csr-subject-differs": 400,
    "provisioning.family-invalid": 400,
    "provisioning.nuc-hash-invalid": 400,
    "provisioning.phase-two-refused": 403,
    "provisioning.station-keys-off": 403,
    "http.compressed": 415,
    "http.cross-site": 403,
    "http.field-invalid": 400,
    "http.host-unknown": 421,
    "http.in-the-clear": 403,
    "http.internal": 500,
    "http.malformed": 400,
    "http.method-not-allowed": 405,
    "http.no-such-page": 404,
    "http.parameter-invalid": 400,
    "http.too-large": 413,
    "http.too-many": 429,
    "http.too-many-listeners": 503,
    "http.too-slow": 503,
    "http.unsupported-media-type": 415,
    "identity.serial-invalid": 400,
    "registry.already-revoked": 409,
    "registry.cursor-invalid": 400,
    "registry.device-key-taken": 409,
    "registry.duplicate-nuc": 409,
    "registry.not-revoked": 409,
    "registry.reservation-lost": 409,
    "registry.revoked-for-good": 409,
    "registry.serial-taken": 409,
    "registry.unavailable": 503,
    "registry.unknown-unit": 404,
}
"""The HTTP status of each error that a handler may raise. Any other error is a bug: status 500."""

_FIELD_OF: Final[dict[ErrorCode, str]] = {**FIELD_OF, "registry.cursor-invalid": "cursor"}


class InvalidFieldError(BirthmarkError):
    """`http.field-invalid` or `http.parameter-invalid`, with the field and what it must be. Quotes no request."""

    def __init__(self, code: ErrorCode, field: str, limit: str) -> None:
        super().__init__(code, f"in {field}: {limit}" if field else limit)
        self.field: Final = field
        self.limit: Final = limit


class TooManyError(BirthmarkError):
    """`http.too-many`, with the seconds to wait."""

    def __init__(self, wait: float) -> None:
        self.seconds: Final = max(1, math.ceil(wait))
        super().__init__("http.too-many", f"wait {self.seconds} s")


class Problem(msgspec.Struct, frozen=True, omit_defaults=True):
    """Problem details (RFC 9457). `advice`, `code`, `field` and `limit` are extension members."""

    type: Annotated[str, Meta(description="`urn:birthmark:error:` and the code. A code never changes its meaning.")]
    title: str
    status: int
    detail: str
    advice: str
    code: str
    field: Annotated[str, Meta(description="Which field or parameter of the request is wrong.")] = ""
    limit: Annotated[str, Meta(description="What it must be.")] = ""


def problem_of(error: BirthmarkError) -> Problem:
    told = error.detail if error.code.startswith(("http.", "access.")) else ""
    return Problem(
        type=f"urn:birthmark:error:{error.code}",
        title=_sentence(error.kind.sentence),
        status=STATUS.get(error.code, 500),
        detail=_sentence(told or error.kind.sentence),
        advice=error.advice,
        code=error.code,
        field=error.field if isinstance(error, InvalidFieldError) else _FIELD_OF.get(error.code, ""),
        limit=error.limit if isinstance(error, InvalidFieldError) else told if error.code == "http.too-large" else "",
    )


def headers_of(error: BirthmarkError) -> dict[str, str]:
    """Return the headers that an answer to `error` needs."""
    if isinstance(error, TooManyError):
        return {"Retry-After": str(error.seconds)}
    if error.code == "http.compressed":
        return {"Accept-Encoding": "identity"}
    if STATUS.get(error.code) == 401:
        wrong = ', error="invalid_token"' if error.code == "access.denied" else ""
        return {"WWW-Authenticate": f'Bearer realm="birthmark-station"{wrong}'}
    return {}


def answer(request: web.Request, problem: Problem, headers: Mapping[str, str] | None = None) -> web.Response:
    """Make an answer of `problem`, as JSON or a page, as the client prefers."""
    if asks_for_page(request):
        response = web.Response(
            text=request.app[app_keys.TEMPLATES].get_template("problem.html").render(problem=problem),
            content_type="text/html",
            status=problem.status,
        )
    else:
        response = web.Response(
            body=msgspec.json.encode(problem), content_type="application/problem+json", status=problem.status
        )
    response.headers.update(headers or {})
    response.headers["Vary"] = "Accept"
    return response


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:] + ("" if text.endswith(".") else ".")
