"""`/login` and `/logout`: an operator signs in to the page with a bearer token, once for a shift."""

from __future__ import annotations

import time

from aiohttp import web

from shared.errors import BirthmarkError
from station.registry import tokens
from station.registry.tokens import Scope
from station.web import keys
from station.web.access import sign_in, sign_out, spend_refusal
from station.web.cross_site import require_own_page


async def form(request: web.Request) -> web.Response:
    return _form(request, refused=False)


async def login(request: web.Request) -> web.StreamResponse:
    """Raises `http.cross-site`, and `http.too-many` after many wrong tokens."""
    require_own_page(request)
    posted = await request.post()
    secret = posted.get("token", "")
    try:
        token = await tokens.authenticate(
            request.app[keys.DATABASE], secret.strip() if isinstance(secret, str) else "", Scope.READ, int(time.time())
        )
    except BirthmarkError as error:
        if not error.code.startswith("access."):
            raise
        spend_refusal(request)
        return _form(request, refused=True)
    response = web.Response(status=303, headers={"Location": "/"})
    sign_in(request, response, token)
    return response


async def logout(request: web.Request) -> web.StreamResponse:
    """Raises `http.cross-site`."""
    require_own_page(request)
    response = web.Response(status=303, headers={"Location": "/login"})
    sign_out(request, response)
    return response


def _form(request: web.Request, *, refused: bool) -> web.Response:
    text = request.app[keys.TEMPLATES].get_template("login.html").render(refused=refused)
    return web.Response(text=text, content_type="text/html", status=403 if refused else 200)
