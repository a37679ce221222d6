"""Decides who may do what, by a bearer token (RFC 6750) or a session (docs/decisions/0007-who-may.md)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from aiohttp import hdrs, web

from shared.errors import BirthmarkError
from station.config import PageAccess
from station.registry import tokens
from station.registry.tokens import Scope, Token
from station.web import app_keys
from station.web.auth.cross_site import require_own_page
from station.web.auth.sessions import SECONDS
from station.web.http.clients import client, is_from_proxy, is_local
from station.web.http.problems import TooManyError

COOKIE: Final = "birthmark-session"
_HEADER_CHARACTERS: Final = 256


@dataclass(frozen=True, slots=True)
class Caller:
    """Somebody whose request is allowed, known by the token's name."""

    name: str


async def admit(
    request: web.Request, scope: Scope, open_when: Callable[[web.Request], bool] | None = None
) -> Caller | None:
    """Return the caller if `scope` is allowed to them; None for one who needs none. Raises as `require` does."""
    return None if open_when and open_when(request) else await require(request, scope)


async def require(request: web.Request, scope: Scope) -> Caller:
    """Return the caller if `scope` is allowed to them.

    Raises `access.*`, `http.cross-site`, or `http.too-many` after many wrong tokens.
    """
    try:
        token = await _token(request, scope)
    except BirthmarkError as error:
        if error.code == "access.denied":
            spend_refusal(request)
        raise
    return Caller(token.name)


async def _token(request: web.Request, scope: Scope) -> Token:
    station = request.app[app_keys.SERVICES]
    now = int(station.clock())
    if hdrs.AUTHORIZATION in request.headers:
        kind, _, secret = request.headers[hdrs.AUTHORIZATION][:_HEADER_CHARACTERS].partition(" ")
        if kind.lower() != "bearer":
            raise BirthmarkError("access.denied")
        return await tokens.authenticate(station.database, secret.strip(), scope, now)
    token_id = _session(request)
    if token_id is None:
        raise BirthmarkError("access.required")
    if request.method not in (hdrs.METH_GET, hdrs.METH_HEAD):
        require_own_page(request)
    return await tokens.recheck(station.database, token_id, scope, now)


def _session(request: web.Request) -> int | None:
    """The id of the token that a signed-in operator's session stands for; None without a session."""
    now = request.app[app_keys.SERVICES].clock()
    return request.app[app_keys.SESSIONS].token_of(request.cookies.get(COOKIE, ""), now)


def spend_refusal(request: web.Request) -> None:
    """Count a wrong token. Raises `http.too-many` for a client that has sent many."""
    if wait := request.app[app_keys.LIMITER].spend("refused_credentials", client(request)):
        raise TooManyError(wait)


def page_is_open(request: web.Request) -> bool:
    """Whether the settings open the page to this request: it comes from this machine, and nobody is signed in."""
    if request.app[app_keys.SERVICES].config.web.page is not PageAccess.LOOPBACK or not is_local(request):
        return False
    return hdrs.AUTHORIZATION not in request.headers and _session(request) is None


def sign_in(request: web.Request, response: web.StreamResponse, token: Token) -> None:
    """Set a session cookie for `token` that no script can read and that only our own pages send."""
    secret = request.app[app_keys.SESSIONS].open(token.id, request.app[app_keys.SERVICES].clock())
    response.set_cookie(
        COOKIE,
        secret,
        max_age=SECONDS,
        path="/",
        httponly=True,
        samesite="Strict",
        secure=request.secure or is_from_proxy(request),
    )


def sign_out(request: web.Request, response: web.StreamResponse) -> None:
    request.app[app_keys.SESSIONS].close(request.cookies.get(COOKIE, ""))
    response.del_cookie(COOKIE, path="/", httponly=True, samesite="Strict")
