"""Answers requests that are not HTTP, without quoting them, and lets clients go that hang up.

aiohttp's own answer quotes the request and logs it with a traceback; the quote may hold a token of a header. It logs a
traceback, too, for each client that hangs up before its request is whole. aiohttp
has no hook for this: a runner makes the `Server`, which makes the `RequestHandler`, by private names. So `install`
replaces a public method of `RequestHandler`. pyproject.toml allows only the minor version of aiohttp that the test of
this module runs with, because another might answer by another method.
"""

from __future__ import annotations

import logging
from typing import Final

import msgspec
from aiohttp import web
from aiohttp.http import HttpProcessingError
from aiohttp.web_protocol import RequestHandler
from aiohttp.web_request import BaseRequest

from shared.errors import BirthmarkError
from station.web.http.problems import problem_of

log = logging.getLogger(__name__)

_original_handle_error: Final = RequestHandler.handle_error


def install(headers: dict[str, str]) -> None:
    """Replace the method for every application of this process. Each such answer carries `headers`."""

    def handle_error(
        self: RequestHandler,
        request: BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        if isinstance(exc, ConnectionError):
            raise ConnectionResetError from exc  # aiohttp then ends the connection
        if not isinstance(exc, HttpProcessingError) or request.writer.output_size > 0:
            return _original_handle_error(self, request, status, exc, message)
        log.debug("a request was no HTTP: %s", type(exc).__name__)
        problem = problem_of(BirthmarkError("http.malformed", "it is no HTTP request"))
        response = web.Response(
            body=msgspec.json.encode(problem),
            status=problem.status,
            content_type="application/problem+json",
            headers={**headers, "Cache-Control": "no-store"},
        )
        response.force_close()
        return response

    RequestHandler.handle_error = handle_error  # type: ignore[method-assign]
