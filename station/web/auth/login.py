"""`/open`, `/login` and `/logout`: open the page by a one-time link, sign an operator in with a bearer token, and out.

A link's secret is the part of it after `#`, which browsers send to nobody. The script of the page at `/open` puts it
into a form, and only the form's button consumes it: whoever fetches a link to preview it does not.
"""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import parse_qs

from aiohttp import web

from shared.errors import BirthmarkError
from station.registry import links, tokens
from station.registry.tokens import Scope
from station.web import app_keys
from station.web.auth.access import open_page, sign_in, sign_out, spend_refusal
from station.web.auth.cross_site import require_own_page
from station.web.http.bodies import read_body

_FORM_BYTES: Final = 4096
_PAGE_KEY: Final = re.compile(r"[0-9a-f]{64}\Z")
"""256 random bits, which the script of the sign-in makes."""


async def show_door(request: web.Request) -> web.Response:
    return web.Response(
        text=request.app[app_keys.TEMPLATES].get_template("open.html").render(), content_type="text/html"
    )


async def use_link(request: web.Request) -> web.StreamResponse:
    """Raises `http.cross-site`, `access.link-invalid`, and `http.too-many` after many wrong links."""
    require_own_page(request)
    given, station = (await _read_form(request)).get("link", ""), request.app[app_keys.SERVICES]
    if not await links.consume(station.database, given.rpartition("#")[2], int(station.clock())):
        spend_refusal(request)
        raise BirthmarkError("access.link-invalid")
    response = web.Response(status=303, headers={"Location": "/"})
    open_page(request, response)
    return response


async def show_form(request: web.Request) -> web.Response:
    return _render_form(request, refused=False)


async def login(request: web.Request) -> web.StreamResponse:
    """Raises `http.cross-site`, and `http.too-many` after many wrong tokens."""
    require_own_page(request)
    form, station = await _read_form(request), request.app[app_keys.SERVICES]
    try:
        token = await tokens.authenticate(station.database, form.get("token", ""), Scope.READ, int(station.clock()))
    except BirthmarkError as error:
        if not error.code.startswith("access."):
            raise
        spend_refusal(request)
        return _render_form(request, refused=True)
    response = web.Response(status=303, headers={"Location": "/"})
    key = form.get("page_key", "")
    sign_in(request, response, token, key if _PAGE_KEY.match(key) else "")
    return response


async def logout(request: web.Request) -> web.StreamResponse:
    """Raises `http.cross-site`."""
    require_own_page(request)
    response = web.Response(status=303, headers={"Location": "/login"})
    sign_out(request, response)
    return response


async def _read_form(request: web.Request) -> dict[str, str]:
    """Return a form's fields. Raises `http.unsupported-media-type`, `http.malformed`, `http.too-large`."""
    if request.content_type != "application/x-www-form-urlencoded":
        raise BirthmarkError("http.unsupported-media-type")
    try:
        fields = parse_qs((await read_body(request, _FORM_BYTES)).decode(), max_num_fields=4)
    except ValueError:  # not UTF-8, or too many fields
        raise BirthmarkError("http.malformed") from None
    return {name: values[0].strip() for name, values in fields.items()}


def _render_form(request: web.Request, *, refused: bool) -> web.Response:
    text = request.app[app_keys.TEMPLATES].get_template("login.html").render(refused=refused)
    return web.Response(text=text, content_type="text/html", status=403 if refused else 200)
