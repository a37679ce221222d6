"""Errors as answers: problem details (RFC 9457) for programs, a plain page for browsers. Never a stack trace.

The particulars of an error are for the operator of this machine and may name a path or quote the database; only those
of `http.*`, which are about the request itself, are told to whoever asked.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import msgspec
from aiohttp import web

from shared.errors import BirthmarkError
from station.web import keys
from station.web.negotiation import asks_for_page

STATUS: Final[dict[str, int]] = {
    "http.host-unknown": 421,
    "http.internal": 500,
    "http.malformed": 400,
    "http.method-not-allowed": 405,
    "http.no-such-page": 404,
    "http.too-large": 413,
    "http.too-many-listeners": 503,
    "http.too-slow": 503,
    "registry.cursor-invalid": 400,
    "registry.unavailable": 503,
}
"""The HTTP status of each error that a handler may let go. Any other one is a bug, and a 500."""


class Problem(msgspec.Struct, frozen=True):
    """Problem details; `advice` and `code` are extension members."""

    type: str
    title: str
    status: int
    detail: str
    advice: str
    code: str


def problem_of(error: BirthmarkError) -> Problem:
    told = error.detail if error.code.startswith("http.") else ""
    return Problem(
        type=f"urn:birthmark:fault:{error.code}",
        title=_sentence(error.fault.sentence),
        status=STATUS.get(error.code, 500),
        detail=_sentence(told or error.fault.sentence),
        advice=error.advice,
        code=error.code,
    )


def answer(request: web.Request, problem: Problem, headers: Mapping[str, str] | None = None) -> web.Response:
    """`problem` in the form the client asks for."""
    if asks_for_page(request):
        response = web.Response(
            text=request.app[keys.TEMPLATES].get_template("problem.html").render(problem=problem),
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
