"""Puts the web application together: what it knows, its routes, its middlewares. No handler lives here."""

from __future__ import annotations

import asyncio
import hashlib
from importlib import metadata
from pathlib import Path
from typing import Final

import jinja2
from aiohttp import web

from station.authority.authority import Authority
from station.config import EkPolicy, StationConfig
from station.events import Bus
from station.registry.database import Database
from station.web import health, keys, middleware, page

BODY_BYTES: Final = 64 * 1024
"""Longest request body, unless a handler of its own allows more: a certificate request is 4 KiB at most."""

_FOLDER: Final = Path(__file__).parent
_STATIC: Final = _FOLDER / "static"
_TEMPLATES: Final = _FOLDER / "templates"


def create_app(
    config: StationConfig, policy: EkPolicy, database: Database, authority: Authority, bus: Bus, started: float
) -> web.Application:
    """The application, ready to be run. `started` is when the station was, in seconds since 1970."""
    app = web.Application(client_max_size=BODY_BYTES, middlewares=middleware.MIDDLEWARES)
    app[keys.AUTHORITY] = authority
    app[keys.BUS] = bus
    app[keys.CLOSING] = asyncio.Event()
    app[keys.CONFIG] = config
    app[keys.DATABASE] = database
    app[keys.EDITION] = _edition()
    app[keys.POLICY] = policy
    app[keys.STARTED] = started
    app[keys.STREAMS] = set()
    app[keys.VERSION] = metadata.version("birthmark-provisioning")
    app[keys.TEMPLATES] = _templates(app)
    app.on_response_prepare.append(middleware.secure)
    app.on_shutdown.append(page.close_streams)
    app.router.add_get("/", page.root)
    app.router.add_get(page.EVENTS_PATH, page.events, allow_head=False)
    app.router.add_get("/health", health.health)
    app.router.add_static(middleware.STATIC_PATH, _STATIC)
    return app


def _templates(app: web.Application) -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals.update(station=app[keys.CONFIG], edition=app[keys.EDITION], version=app[keys.VERSION])
    return environment


def _edition() -> str:
    digest = hashlib.sha256()
    for path in sorted([*_TEMPLATES.iterdir(), *_STATIC.iterdir()]):
        digest.update(path.name.encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:16]
