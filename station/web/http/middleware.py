"""The middlewares for every request: known host names, time and rate limits, error answers, security headers."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import Final

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from shared.errors import BirthmarkError, ErrorCode
from shared.text import printable
from station.web import app_keys
from station.web.auth.cross_site import refuse_cross_site
from station.web.endpoint import Endpoint
from station.web.http.clients import client, host_name, is_in_the_clear, is_loopback_name, is_own_address
from station.web.http.problems import TooManyError, answer, headers_of, problem_of
from station.web.http.turns import TURN, Turn
from station.web.pages.overview import EVENTS_PATH

log = logging.getLogger(__name__)

REQUEST_SECONDS: Final = 40.0
"""From a request's headers to its answer: longer than the 30 s that the registry waits for a lock."""

STATIC_PATH: Final = "/static/"

_HSTS_SECONDS: Final = 365 * 86400
"""How long a browser that once used TLS uses nothing else (RFC 6797)."""

_STREAMS: Final = frozenset({EVENTS_PATH, "/api/v1/devices/provision/bulk"})
_METHODS: Final = frozenset({"DELETE", "GET", "HEAD", "POST", "OPTIONS"})

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
    "Referrer-Policy": "same-origin",
    "Server": "birthmark-station",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}
"""The headers of every answer. They forbid loading from other hosts, inline scripts, and framing the page.

With the policy `no-referrer` a browser would say `Origin: null` of our own forms (WHATWG Fetch, 3.2)."""

_HTTP_CODES: Final[dict[int, ErrorCode]] = {
    403: "http.no-such-page",
    404: "http.no-such-page",
    405: "http.method-not-allowed",
}
"""aiohttp's status → our error code. Its only 403 is for the folder of assets itself, which is no page."""


async def add_security_headers(request: web.Request, response: web.StreamResponse) -> None:
    """Handle `on_response_prepare`: errors, assets and streams get the headers too."""
    response.headers.update(HEADERS)
    if request.secure:
        response.headers["Strict-Transport-Security"] = f"max-age={_HSTS_SECONDS}"
    response.headers["Cache-Control"] = "no-cache" if request.path.startswith(STATIC_PATH) else "no-store"


@web.middleware
async def translate_errors(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Turn every error into an answer in the form the client asks for."""
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
            log.warning("%s %s: %s", request.method, printable(request.path), error)
        return answer(request, problem, headers_of(error))
    except ConnectionResetError:  # the client is gone
        raise
    except Exception:
        log.exception("%s %s: a bug", request.method, printable(request.path))
        return answer(request, problem_of(BirthmarkError("http.internal")))


@web.middleware
async def close_early(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Let the connection end with an answer that comes before the whole body, instead of reading what is left of it."""
    response = await handler(request)
    if not request.content.is_eof() and not response.prepared:
        response.force_close()
    return response


@web.middleware
async def take_turns(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Let sessions on the ports come first. Whoever waits for the client meanwhile gives the turn up."""
    turn = request[TURN] = Turn(request.app[app_keys.TURNS])
    await turn.take()
    try:
        return await handler(request)
    finally:
        turn.give()


@web.middleware
async def refuse_compressed(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Refuse a compressed body unread: 61 kB of it may be 60 MB."""
    if any(coding.strip().lower() != "identity" for coding in request.headers.getall("Content-Encoding", [])):
        raise BirthmarkError("http.compressed")
    return await handler(request)


@web.middleware
async def require_known_host(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Require a Host of the station's own, against a foreign name that resolves here (DNS rebinding).

    Its own are the loopback names, its address on this connection, the host of `public_url`, and those in the settings.
    """
    hosts = request.headers.getall("Host", [])
    if len(hosts) != 1 or not _is_ours(request, hosts[0]):
        raise BirthmarkError("http.host-unknown")
    if not _is_ours(request, request.host):  # the target itself may name one (RFC 9112, 3.2.2)
        raise BirthmarkError("http.host-unknown")
    return await handler(request)


@web.middleware
async def keep_secrets_off_plain_http(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Refuse another machine whose way here nothing encrypts everything that takes or gives a token or a session."""
    if is_in_the_clear(request) and not _needs_no_token(request):
        raise BirthmarkError("http.in-the-clear")
    return await handler(request)


@web.middleware
async def limit_duration(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Limit the time of every request, except streams, which have limits of their own."""
    if request.path.rstrip("/") in _STREAMS:
        return await handler(request)
    try:
        async with asyncio.timeout(REQUEST_SECONDS) as deadline:
            return await handler(request)
    except TimeoutError:
        if deadline.expired():
            raise BirthmarkError("http.too-slow", f"it took longer than {REQUEST_SECONDS:g} s") from None
        raise


@web.middleware
async def count_requests(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Count every answer under the endpoint's path, as the router spells it."""
    begun = time.perf_counter()
    status = "none"
    try:
        response = await handler(request)
        status = str(response.status)
        return response
    finally:
        endpoint = _endpoint(request)
        path = endpoint.path if endpoint else "other"
        metrics = request.app[app_keys.METRICS]
        method = request.method if request.method in _METHODS else "other"
        metrics.requests.labels(method, path, status).inc()
        metrics.request_seconds.labels(path).observe(time.perf_counter() - begun)


@web.middleware
async def limit_rate(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Limit the rate of a client's requests, before their bodies are read."""
    endpoint = _endpoint(request)
    rate = endpoint.rate if endpoint else "page"
    if wait := request.app[app_keys.LIMITER].spend(rate, client(request)):
        request.app[app_keys.METRICS].rate_limited.labels(rate).inc()
        raise TooManyError(wait)
    return await handler(request)


def _endpoint(request: web.Request) -> Endpoint | None:
    resource = request.match_info.route.resource
    if resource is None:
        return None
    method = "GET" if request.method == "HEAD" else request.method
    return request.app[app_keys.ENDPOINTS].get((method, resource.canonical.rstrip("/") or "/"))


MIDDLEWARES: Final[tuple[Middleware, ...]] = (
    close_early,
    count_requests,
    translate_errors,
    take_turns,
    refuse_compressed,
    require_known_host,
    limit_rate,
    keep_secrets_off_plain_http,
    refuse_cross_site,
    limit_duration,
)
"""The outermost first."""


def _needs_no_token(request: web.Request) -> bool:
    if endpoint := _endpoint(request):
        return endpoint.scope is None or bool(endpoint.open_when and endpoint.open_when(request))
    return request.path.startswith(STATIC_PATH) or request.match_info.http_exception is not None


def _is_ours(request: web.Request, host: str) -> bool:
    name = host_name(host)
    config = request.app[app_keys.SERVICES].config
    if name in ("", config.authority.public_host) or name in map(str.lower, config.web.hosts):
        return bool(name)
    return is_loopback_name(name) or is_own_address(request, name)
