"""Decides who may do what, by a bearer token (RFC 6750) or a browser's session (docs/decisions/0007-who-may.md).

A session's cookie goes to every port of the station's host, because browsers do not keep cookies to a port. So it only
reads: a change also needs the key that the page of this origin made when it signed in, and that no other origin reads.
"""

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
from station.web.auth.sessions import CHANGING_SECONDS, READING_SECONDS, Session, hashed
from station.web.http.clients import client, is_from_proxy, is_local
from station.web.http.problems import TooManyError

COOKIE: Final = "birthmark-session"
PAGE_KEY: Final = "Birthmark-Page-Key"
"""The header in which the page sends its key with every change."""

_HEADER_CHARACTERS: Final = 256


@dataclass(frozen=True, slots=True)
class Caller:
    """Somebody whose request is allowed."""

    name: str
    """The token's name; empty for a page that a link opened."""
    admin: bool = False
    """Whether the token may revoke units."""


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
        return await _caller(request, scope)
    except BirthmarkError as error:
        if error.code == "access.denied":
            spend_refusal(request)
        raise


async def _caller(request: web.Request, scope: Scope) -> Caller:
    station = request.app[app_keys.SERVICES]
    now = int(station.clock())
    if hdrs.AUTHORIZATION in request.headers:
        kind, _, secret = request.headers[hdrs.AUTHORIZATION][:_HEADER_CHARACTERS].partition(" ")
        if kind.lower() != "bearer":
            raise BirthmarkError("access.denied")
        return _known(await tokens.authenticate(station.database, secret.strip(), scope, now))
    session = _session(request)
    if session is None:
        raise BirthmarkError("access.required")
    if request.method not in (hdrs.METH_GET, hdrs.METH_HEAD):
        require_own_page(request)
        if not session.has_key(request.headers.get(PAGE_KEY, "")[:_HEADER_CHARACTERS]):
            raise BirthmarkError("access.page-key-missing")
    if session.token_id is not None:
        return _known(await tokens.recheck(station.database, session.token_id, scope, now))
    if scope is not Scope.READ:
        raise BirthmarkError("access.scope-missing", scope.value)
    return Caller("")


def _known(token: Token) -> Caller:
    return Caller(token.name, token.allows(Scope.ADMIN))


def _session(request: web.Request) -> Session | None:
    now = request.app[app_keys.SERVICES].clock()
    return request.app[app_keys.SESSIONS].find(request.cookies.get(COOKIE, ""), now)


def spend_refusal(request: web.Request) -> None:
    """Count a wrong token. Raises `http.too-many` for a client that has sent many."""
    if wait := request.app[app_keys.LIMITER].spend("refused_credentials", client(request)):
        raise TooManyError(wait)


def page_is_open(request: web.Request) -> bool:
    """Whether the settings open the page to this request: it comes from this machine, and nobody is signed in."""
    if request.app[app_keys.SERVICES].config.web.page is not PageAccess.LOOPBACK or not is_local(request):
        return False
    return hdrs.AUTHORIZATION not in request.headers and _session(request) is None


def sign_in(request: web.Request, response: web.StreamResponse, token: Token, page_key: str) -> None:
    """Open a session for `token`. `page_key` is what the page keeps to make changes with; empty for none."""
    may_change = token.scopes != {Scope.READ}
    now = request.app[app_keys.SERVICES].clock()
    ends = now + (CHANGING_SECONDS if may_change else READING_SECONDS)
    _open_session(request, response, Session(token.id, hashed(page_key) if page_key else None, ends))


def open_page(request: web.Request, response: web.StreamResponse) -> None:
    """Open a session that reads, for a browser that came by a link."""
    now = request.app[app_keys.SERVICES].clock()
    _open_session(request, response, Session(None, None, now + READING_SECONDS))


def _open_session(request: web.Request, response: web.StreamResponse, session: Session) -> None:
    """Set the session's cookie, which no script can read and only our own site's pages send; end the earlier one."""
    sessions = request.app[app_keys.SESSIONS]
    sessions.close(request.cookies.get(COOKIE, ""))
    response.set_cookie(
        COOKIE,
        sessions.open(session),
        max_age=int(session.ends - request.app[app_keys.SERVICES].clock()),
        path="/",
        httponly=True,
        samesite="Strict",
        secure=request.secure or is_from_proxy(request),
    )


def sign_out(request: web.Request, response: web.StreamResponse) -> None:
    request.app[app_keys.SESSIONS].close(request.cookies.get(COOKIE, ""))
    response.del_cookie(COOKIE, path="/", httponly=True, samesite="Strict")
