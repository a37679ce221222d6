"""Finds out where a request comes from: the client's address, and whether it is this machine."""

from __future__ import annotations

import ipaddress
from typing import Final
from urllib.parse import urlsplit

from aiohttp import web

from station.web import app_keys
from station.web.http.limiter import client_name

_FORWARDED: Final = ("Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Real-IP", "Via")


def client(request: web.Request) -> str:
    """Return the name that rate limits count the request under.

    From a trusted proxy, the last address in X-Forwarded-For.
    """
    if is_from_proxy(request):
        forwarded = request.headers.getall("X-Forwarded-For", [])
        if forwarded:
            return client_name(forwarded[-1].rpartition(",")[2])
    return client_name(request.remote or "")


def is_from_proxy(request: web.Request) -> bool:
    """Whether a proxy that does TLS sent it: the declared one, or any client of the UNIX socket."""
    return request.app[app_keys.BEHIND_PROXY] or isinstance(_own_address(request), str)


def is_local(request: web.Request) -> bool:
    """Whether this machine sent it, to a loopback name, without a trusted proxy or a proxy's header."""
    if is_from_proxy(request) or any(name in request.headers for name in _FORWARDED):
        return False
    return _is_loopback(request.remote or "") and is_loopback_name(host_name(request.headers.get("Host", "")))


def host_name(host: str) -> str:
    """Return the name in a Host header, or in an origin after its scheme, without the port; empty without one."""
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""


def is_loopback_name(name: str) -> bool:
    return name == "localhost" or _is_loopback(name)


def is_own_address(request: web.Request, name: str) -> bool:
    """Whether `name` is the station's address on this connection."""
    own = _own_address(request)
    if not isinstance(own, tuple):
        return False
    try:
        address = ipaddress.ip_address(own[0])
        named = ipaddress.ip_address(name)
    except ValueError:
        return False
    # One socket may serve both families; IPv4 then comes in as ::ffff:192.0.2.1 (RFC 4291).
    return named in (address, getattr(address, "ipv4_mapped", None))


def _own_address(request: web.Request) -> tuple[str, int] | str | None:
    """Return this end of the connection: address and port, or the path of a UNIX socket; None when it is closed."""
    own: object = request.transport.get_extra_info("sockname") if request.transport else None
    if isinstance(own, tuple):
        return str(own[0]), int(own[1])
    return own if isinstance(own, str) else None


def _is_loopback(address: str) -> bool:
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return False
