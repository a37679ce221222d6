"""Refuses changes that pages of other sites make a browser send, unless their origin is listed.

Browsers say where a request comes from (Sec-Fetch-Site, W3C Fetch Metadata; Origin, RFC 6454); no script can change
that. Sec-Fetch-Site comes first: it is the browser's own comparison of scheme, host and port, and it is there when
Origin is `null`. CORS (WHATWG Fetch) is for listed origins only and never allows credentials: such a site uses a bearer
token.
"""

from __future__ import annotations

from typing import Final

from aiohttp import hdrs, web
from aiohttp.typedefs import Handler

from shared.errors import BirthmarkError
from station.web import app_keys
from station.web.http.clients import is_from_proxy

_SAFE: Final = frozenset({hdrs.METH_GET, hdrs.METH_HEAD, hdrs.METH_OPTIONS})
_PREFLIGHT_SECONDS: Final = 600


@web.middleware
async def refuse_cross_site(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Refuse changes from other sites before reading their bodies, and answer preflights of listed origins."""
    if _is_preflight(request):
        return web.Response(
            status=204,
            headers={
                "Access-Control-Allow-Methods": "DELETE, GET, HEAD, POST",
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
    site = request.headers.get("Sec-Fetch-Site")
    if not (site == "same-origin" or (site is None and _is_own(request))):
        raise BirthmarkError("http.cross-site")


def _is_preflight(request: web.Request) -> bool:
    asks = request.method == hdrs.METH_OPTIONS and "Access-Control-Request-Method" in request.headers
    return asks and _is_listed(request)


def _is_foreign(request: web.Request) -> bool:
    if _is_listed(request):
        return False
    site = request.headers.get("Sec-Fetch-Site")
    if site is not None:
        return site not in ("same-origin", "none")
    return "Origin" in request.headers and not _is_own(request)


def _is_own(request: web.Request) -> bool:
    """Whether Origin is this station's: its scheme, host and port. The Host header was checked before."""
    scheme = "https" if request.secure or is_from_proxy(request) else "http"
    return request.headers.get("Origin") == f"{scheme}://{request.headers.get('Host')}"


def _is_listed(request: web.Request) -> bool:
    return request.headers.get("Origin") in request.app[app_keys.SERVICES].config.web.cors_origins
