"""What holds for every request and answer: known host names, bounded time, errors translated, strict headers."""

from __future__ import annotations

import asyncio
import ipaddress
import logging
from typing import Final
from urllib.parse import urlsplit

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from shared.errors import BirthmarkError
from shared.text import shown
from station.web import keys
from station.web.page import EVENTS_PATH
from station.web.problems import answer, problem_of

log = logging.getLogger(__name__)

REQUEST_SECONDS: Final = 40.0
"""From a request's headers to its answer: longer than the registry's patience with a lock (30 s)."""

STATIC_PATH: Final = "/static/"

HEADERS: Final = {
    "Content-Security-Policy": "; ".join(
        (
            "default-src 'none'",
            "script-src 'self'",
            "style-src 'self'",
            "img-src 'self'",
            "connect-src 'self'",
            "form-action 'self'",
            "base-uri 'none'",
            "frame-ancestors 'none'",
            "require-trusted-types-for 'script'",
            "trusted-types station",
        )
    ),
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), serial=(), usb=()",
    "Referrer-Policy": "no-referrer",
    "Server": "birthmark-station",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}
"""On every answer. Nothing is loaded from elsewhere, nothing inline runs, nobody may frame the page."""

_HTTP_CODES: Final = {403: "http.no-such-page", 404: "http.no-such-page", 405: "http.method-not-allowed"}
"""aiohttp's refusals as ours. Its only 403 is for the folder of assets itself, which is no page."""


async def secure(request: web.Request, response: web.StreamResponse) -> None:
    """Signal handler for `on_response_prepare`: so that errors, assets and streams have the headers too."""
    response.headers.update(HEADERS)
    response.headers["Cache-Control"] = "no-cache" if request.path.startswith(STATIC_PATH) else "no-store"


@web.middleware
async def translated(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Every error as an answer in the form the client asks for."""
    try:
        return await handler(request)
    except web.HTTPException as error:
        if error.status < 400:
            raise
        allow = {"Allow": error.headers["Allow"]} if "Allow" in error.headers else None
        code = "http.too-large" if error.status == 413 else _HTTP_CODES.get(error.status, "http.malformed")
        return answer(request, problem_of(BirthmarkError(code)), allow)
    except BirthmarkError as error:
        problem = problem_of(error)
        if problem.status >= 500:
            log.warning("%s %s: %s", request.method, shown(request.path), error)
        return answer(request, problem)
    except ConnectionResetError:  # nobody is there to be answered
        raise
    except Exception:
        log.exception("%s %s: a bug", request.method, shown(request.path))
        return answer(request, problem_of(BirthmarkError("http.internal")))


@web.middleware
async def known_host(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Only names that are ours: another site's name that resolves to this machine (DNS rebinding) gets nothing.

    Ours are the loopback names, the address the request came in at, and the host of the configured public URL.
    """
    hosts = request.headers.getall("Host", [])
    if len(hosts) != 1 or not _is_ours(request, hosts[0]):
        raise BirthmarkError("http.host-unknown")
    return await handler(request)


@web.middleware
async def timely(request: web.Request, handler: Handler) -> web.StreamResponse:
    """An end to every request but the stream of events, which has one of its own."""
    if request.path == EVENTS_PATH:
        return await handler(request)
    try:
        async with asyncio.timeout(REQUEST_SECONDS) as deadline:
            return await handler(request)
    except TimeoutError:
        if deadline.expired():
            raise BirthmarkError("http.too-slow", f"it took longer than {REQUEST_SECONDS:g} s") from None
        raise


MIDDLEWARES: Final[tuple[Middleware, ...]] = (translated, known_host, timely)
"""The outermost first."""


def _is_ours(request: web.Request, host: str) -> bool:
    try:
        name = urlsplit(f"//{host}").hostname or ""
        public = urlsplit(request.app[keys.CONFIG].authority.public_url).hostname
    except ValueError:
        return False
    if name in ("localhost", public):
        return True
    try:
        address = ipaddress.ip_address(name)
    except ValueError:
        return False
    return address.is_loopback or str(address) == _local_address(request)


def _local_address(request: web.Request) -> str:
    name = request.transport.get_extra_info("sockname") if request.transport else None
    return str(name[0]) if isinstance(name, tuple) else ""
