"""Who a request comes from, as far as its connection and headers tell: its address, and whether it is from here."""

from __future__ import annotations

import ipaddress
from typing import Final
from urllib.parse import urlsplit

from aiohttp import web

from station.web import keys
from station.web.limiter import client_name

_FORWARDED: Final = ("Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Real-IP", "Via")


def client(request: web.Request) -> str:
    """What the request is counted under. Behind a declared proxy, the address it vouches for: the last it added."""
    if request.app[keys.BEHIND_PROXY]:
        forwarded = request.headers.getall("X-Forwarded-For", [])
        if forwarded:
            return client_name(forwarded[-1].rpartition(",")[2])
    return client_name(request.remote or "")


def is_local(request: web.Request) -> bool:
    """Whether it was sent from this machine, to a loopback name, through no proxy that says so or was declared."""
    if request.app[keys.BEHIND_PROXY] or any(name in request.headers for name in _FORWARDED):
        return False
    return _is_loopback(request.remote or "") and is_loopback_name(host_name(request.headers.get("Host", "")))


def host_name(host: str) -> str:
    """The name in a Host header or after an origin's scheme, without its port; empty when there is none."""
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""


def is_loopback_name(name: str) -> bool:
    return name == "localhost" or _is_loopback(name)


def _is_loopback(address: str) -> bool:
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return False
