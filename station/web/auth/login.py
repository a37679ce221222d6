"""`/login` and `/logout`: sign an operator in with a bearer token, once a shift, and out."""

from __future__ import annotations

from typing import Final
from urllib.parse import parse_qs

from aiohttp import web

from shared.errors import BirthmarkError
from station.registry import tokens
from station.registry.tokens import Scope
from station.web import app_keys
from station.web.auth.access import sign_in, sign_out, spend_refusal
from station.web.auth.cross_site import require_own_page
from station.web.http.bodies import read_body

_FORM_BYTES: Final = 4096


async def show_form(request: web.Request) -> web.Response:
    return _render_form(request, refused=False)


async def login(request: web.Request) -> web.StreamResponse:
    """Raises `http.cross-site`, and `http.too-many` after many wrong tokens."""
    require_own_page(request)
    secret, station = await _read_token(request), request.app[app_keys.SERVICES]
    try:
        token = await tokens.authenticate(station.database, secret, Scope.READ, int(station.clock()))
    except BirthmarkError as error:
        if not error.code.startswith("access."):
            raise
        spend_refusal(request)
        return _render_form(request, refused=True)
    response = web.Response(status=303, headers={"Location": "/"})
    sign_in(request, response, token)
    return response


async def logout(request: web.Request) -> web.StreamResponse:
    """Raises `http.cross-site`."""
    require_own_page(request)
    response = web.Response(status=303, headers={"Location": "/login"})
    sign_out(request, response)
    return response


async def _read_token(request: web.Request) -> str:
    """Raises `http.unsupported-media-type`, `http.malformed`, `http.too-large`."""
    if request.content_type != "application/x-www-form-urlencoded":
        raise BirthmarkError("http.unsupported-media-type")
    try:
        fields = parse_qs((await read_body(request, _FORM_BYTES)).decode(), max_num_fields=4)
    except ValueError:  # not UTF-8, or too many fields
        raise BirthmarkError("http.malformed") from None
    return fields.get("token", [""])[0].strip()


def _render_form(request: web.Request, *, refused: bool) -> web.Response:
    text = request.app[app_keys.TEMPLATES].get_template("login.html").render(refused=refused)
    return web.Response(text=text, content_type="text/html", status=403 if refused else 200)
