"""Puts the web application together: its data, routes and middlewares."""

from __future__ import annotations

import asyncio
import hashlib
from importlib import metadata
from pathlib import Path
from typing import Final

import jinja2
from aiohttp import web

from shared.types import RESERVED_SERIALS
from station.services import Services
from station.web import app_keys
from station.web.api.openapi import describe
from station.web.auth import cross_site, login
from station.web.auth.sessions import Sessions
from station.web.endpoint import BODY_BYTES
from station.web.enforcement import enforced
from station.web.http import middleware, not_http
from station.web.http.addresses import Proxies
from station.web.http.limiter import Limiter
from station.web.http.turns import Turns
from station.web.ops import background
from station.web.ops.metrics import Metrics
from station.web.pages import overview
from station.web.pages.listeners import Listeners
from station.web.routes import ENDPOINTS

_SERIAL: Final = f"{{serial:(?!({'|'.join(sorted(RESERVED_SERIALS))})/?$)[^{{}}/]+}}"
"""The serial number in a path. The reserved words are other endpoints."""

IDLE_SECONDS: Final = 60.0
"""How long a connection may stay open without a request."""

_SHUTDOWN_SECONDS: Final = 2.0

_FOLDER: Final = Path(__file__).parent
_STATIC: Final = _FOLDER / "static"
_TEMPLATES: Final = _FOLDER / "templates"


def create_app(services: Services, *, proxies: Proxies | None = None, tls_ends: float | None = None) -> web.Application:
    """Make the application.

    `tls_ends` is the end of the station's TLS certificate, if any, in seconds since 1970.
    """
    not_http.install(middleware.HEADERS)
    app = web.Application(client_max_size=BODY_BYTES, middlewares=middleware.MIDDLEWARES)
    version, started = metadata.version("birthmark-provisioning"), services.clock()
    app[app_keys.SERVICES] = services
    app[app_keys.CLOSING] = asyncio.Event()
    app[app_keys.ASSET_VERSION] = _digest_assets()
    app[app_keys.ENDPOINTS] = {(endpoint.method, endpoint.path): endpoint for endpoint in ENDPOINTS}
    app[app_keys.LIMITER] = Limiter(services.config.web.rates)
    app[app_keys.LISTENERS] = Listeners()
    app[app_keys.METRICS] = Metrics(version, started)
    if tls_ends is not None:
        app[app_keys.METRICS].certificate_expiry.labels("tls").set(tls_ends)
    app[app_keys.OPENAPI] = describe(ENDPOINTS, version)
    app[app_keys.PROXIES] = proxies or Proxies()
    app[app_keys.SESSIONS] = Sessions()
    app[app_keys.STARTED] = started
    app[app_keys.TURNS] = Turns(services.bus)
    app[app_keys.VERSION] = version
    app[app_keys.TEMPLATES] = _load_templates(app)
    app.on_response_prepare.append(middleware.add_security_headers)
    app.on_response_prepare.append(cross_site.allow_listed_origins)
    app.cleanup_ctx.append(background.run)
    app.on_shutdown.append(overview.close_streams)
    for endpoint in ENDPOINTS:
        handler = enforced(endpoint)
        for path in {endpoint.path, endpoint.path.rstrip("/") + "/"}:  # with a slash at its end it is the same address
            for method in ("GET", "HEAD") if endpoint.method == "GET" else (endpoint.method,):
                app.router.add_route(method, path.replace("{serial}", _SERIAL), handler)
    app.router.add_get(overview.EVENTS_PATH, overview.events, allow_head=False)
    app.router.add_get("/open", login.show_door)
    app.router.add_post("/open", login.use_link)
    app.router.add_get("/login", login.show_form)
    app.router.add_post("/login", login.login)
    app.router.add_post("/logout", login.logout)
    app.router.add_static(middleware.STATIC_PATH, _STATIC)
    return app


def create_runner(app: web.Application) -> web.AppRunner:
    """Return what serves the application. It closes a connection as soon as a request is answered before its body."""
    return web.AppRunner(
        app,
        access_log=None,
        auto_decompress=False,  # a body that is sent compressed is refused unread
        keepalive_timeout=IDLE_SECONDS,
        lingering_time=0,
        shutdown_timeout=_SHUTDOWN_SECONDS,
    )


def _load_templates(app: web.Application) -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals.update(
        station=app[app_keys.SERVICES].config, asset_version=app[app_keys.ASSET_VERSION], version=app[app_keys.VERSION]
    )
    return environment


def _digest_assets() -> str:
    digest = hashlib.sha256()
    for path in sorted([*_TEMPLATES.iterdir(), *_STATIC.iterdir()]):
        digest.update(path.name.encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:16]
