"""Refuses changes that pages of other sites make a browser send, unless their origin is listed.

Browsers say where a request comes from (Origin, RFC 6454; Sec-Fetch-Site, W3C Fetch Metadata); no script can change
that. CORS (WHATWG Fetch) is for listed origins only and never allows credentials: such a site uses a bearer token.
"""

from __future__ import annotations

from typing import Final

from aiohttp import hdrs, web
from aiohttp.typedefs import Handler

from shared.errors import BirthmarkError
from station.web import app_keys

_SAFE: Final = frozenset({hdrs.METH_GET, hdrs.METH_HEAD, hdrs.METH_OPTIONS})
_PREFLIGHT_SECONDS: Final = 600


@web.middleware
async def refuse_cross_site(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Refuse changes from other sites before reading their bodies, and answer preflights of listed origins."""
    if _is_preflight(request):
        return web.Response(
            status=204,
            headers={
                "Access-Control-Allow-Methods": "GET, HEAD, POST",
                "Access-Control-Allow-Headers": "Authorization, Content-Type",
                "Access-Control-Max-Age": str(_PREFLIGHT_SECONDS),
            },
        )
    if request.method not in _SAFE and _is_foreign(request):
        raise BirthmarkError("http.cross-site")
    return await handler(request)


async def allow_listed_origins(request: web.Request, response: web.StreamResponse) -> None:
    """Handler of `on_response_prepare`: lets a listed origin read the answer, errors included."""
    if not request.app[app_keys.SERVICES].config.web.cors_origins:
        return
    vary = response.headers.get("Vary")
    response.headers["Vary"] = f"{vary}, Origin" if vary else "Origin"
    if _is_listed(request):
        response.headers["Access-Control-Allow-Origin"] = request.headers["Origin"]
        response.headers["Access-Control-Expose-Headers"] = "Location, Retry-After, WWW-Authenticate"


def require_own_page(request: web.Request) -> None:
    """Require that a change authorized by a cookie comes from one of our pages. Raises `http.cross-site`."""
    if request.headers.get("Sec-Fetch-Site") != "same-origin" and not _is_own(request, request.headers.get("Origin")):
        raise BirthmarkError("http.cross-site")


def _is_preflight(request: web.Request) -> bool:
    asks = request.method == hdrs.METH_OPTIONS and "Access-Control-Request-Method" in request.headers
    return asks and _is_listed(request)


def _is_foreign(request: web.Request) -> bool:
    origin = request.headers.get("Origin")
    if origin is not None:
        return not (_is_own(request, origin) or _is_listed(request))
    return request.headers.get("Sec-Fetch-Site", "none") not in ("same-origin", "none")


def _is_own(request: web.Request, origin: str | None) -> bool:
    # The Host header was checked before. Compares no scheme: a proxy may speak HTTPS for us.
    return origin is not None and origin.partition("://")[2] == request.headers.get("Host")


def _is_listed(request: web.Request) -> bool:
    return request.headers.get("Origin") in request.app[app_keys.SERVICES].config.web.cors_origins
