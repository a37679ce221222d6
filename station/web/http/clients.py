"""Finds out where a request comes from: the client's address, and whether it is this machine."""

from __future__ import annotations

from typing import Final
from urllib.parse import urlsplit

from aiohttp import web

from station.web import app_keys
from station.web.http.addresses import is_loopback_address, parse_address
from station.web.http.limiter import client_name

_FORWARDED: Final = ("Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Real-IP", "Via")


_HOPS_MAX: Final = 16
"""Addresses of X-Forwarded-For that are read, from the right; each trusted proxy adds one."""


def client(request: web.Request) -> str:
    """Return the name that rate limits count the request under.

    From a trusted proxy, it is the last address in X-Forwarded-For that is no trusted proxy's: all before that is what
    the client said of itself.
    """
    forwarded = request.headers.getall("X-Forwarded-For", [])
    if forwarded and is_from_proxy(request):
        proxies = request.app[app_keys.PROXIES]
        for address in reversed(",".join(forwarded).rsplit(",", _HOPS_MAX)[-_HOPS_MAX:]):
            if not proxies.trust(address.strip()):
                return client_name(address)
    return client_name(request.remote or "")


def is_from_proxy(request: web.Request) -> bool:
    """Whether a trusted proxy sent it: one of the declared addresses, or any client of the UNIX socket."""
    return isinstance(_own_address(request), str) or request.app[app_keys.PROXIES].trust(request.remote or "")


def is_local(request: web.Request) -> bool:
    """Whether this machine sent it, to a loopback name, without a trusted proxy or a proxy's header."""
    if is_from_proxy(request) or any(name in request.headers for name in _FORWARDED):
        return False
    return is_loopback_address(request.remote or "") and is_loopback_name(host_name(request.headers.get("Host", "")))


def is_in_the_clear(request: web.Request) -> bool:
    """Whether another machine sent it and nothing encrypts the way: neither our TLS nor a trusted proxy's."""
    return not (request.secure or is_from_proxy(request) or is_loopback_address(request.remote or ""))


def host_name(host: str) -> str:
    """Return the name in a Host header, or in an origin after its scheme, without the port; empty without one."""
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""


def is_loopback_name(name: str) -> bool:
    return name == "localhost" or is_loopback_address(name)


def is_own_address(request: web.Request, name: str) -> bool:
    """Whether `name` is the station's address on this connection."""
    own = _own_address(request)
    if not isinstance(own, tuple):
        return False
    return (named := parse_address(name)) is not None and named == parse_address(own[0])


def _own_address(request: web.Request) -> tuple[str, int] | str | None:
    """Return this end of the connection: address and port, or the path of a UNIX socket; None when it is closed."""
    own: object = request.transport.get_extra_info("sockname") if request.transport else None
    if isinstance(own, tuple):
        return str(own[0]), int(own[1])
    return own if isinstance(own, str) else None
