"""Puts the web application together: what it knows, its routes, its middlewares. No handler lives here."""

from __future__ import annotations

import asyncio
import hashlib
import math
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Final

import jinja2
from aiohttp import web

from station.attestation.makers_directory import MakersDirectory
from station.authority.authority import Authority
from station.config import EkPolicy, StationConfig
from station.crl import RevocationList
from station.enrollment import Enroller
from station.events import Bus
from station.keytables import KeyTables
from station.registry.database import Database
from station.validation.certificates import CertificateValidator
from station.validation.tokens import TokenValidator
from station.web import background, cross_site, keys, login, middleware, not_http, page
from station.web.api.bodies import BODY_BYTES
from station.web.api.openapi import describe
from station.web.api.table import ENDPOINTS
from station.web.limiter import Limiter
from station.web.metrics import Metrics
from station.web.sessions import Sessions

_SERIAL: Final = "{serial:(?!provision$)[^{}/]+}"
"""A unit's place in a path; `provision` is an address of its own."""

_FOLDER: Final = Path(__file__).parent
_STATIC: Final = _FOLDER / "static"
_TEMPLATES: Final = _FOLDER / "templates"


@dataclass(frozen=True, slots=True)
class Parts:
    """What the application is made of."""

    data_dir: Path
    config: StationConfig
    policy: EkPolicy
    makers: MakersDirectory
    authority: Authority
    tables: KeyTables
    database: Database
    bus: Bus
    enroller: Enroller
    revocation_list: RevocationList
    tokens: TokenValidator
    certificates: CertificateValidator


def create_app(
    parts: Parts, started: float, *, behind_proxy: bool = False, tls_ends: float | None = None
) -> web.Application:
    """The application, ready to be run.

    `started` is when the station was, `tls_ends` when its TLS certificate ends if it has one; seconds since 1970.
    """
    not_http.install(middleware.HEADERS)
    app = web.Application(client_max_size=BODY_BYTES, middlewares=middleware.MIDDLEWARES)
    version = metadata.version("birthmark-provisioning")
    app[keys.AUTHORITY] = parts.authority
    app[keys.BEHIND_PROXY] = behind_proxy
    app[keys.BUS] = parts.bus
    app[keys.CERTIFICATES] = parts.certificates
    app[keys.CLOSING] = asyncio.Event()
    app[keys.CONFIG] = parts.config
    app[keys.DATABASE] = parts.database
    app[keys.DATA_DIR] = parts.data_dir
    app[keys.EDITION] = _edition()
    app[keys.ENDPOINTS] = {(endpoint.method, endpoint.path): endpoint for endpoint in ENDPOINTS}
    app[keys.ENROLLER] = parts.enroller
    app[keys.GAUGES_READ] = [-math.inf]
    app[keys.LIMITER] = Limiter(parts.config.web.rates)
    app[keys.MAKERS] = parts.makers
    app[keys.METRICS] = Metrics(version, started)
    if tls_ends is not None:
        app[keys.METRICS].certificate_expiry.labels("tls").set(tls_ends)
    app[keys.OPENAPI] = describe(ENDPOINTS, version)
    app[keys.POLICY] = parts.policy
    app[keys.REVOCATION_LIST] = parts.revocation_list
    app[keys.SESSIONS] = Sessions()
    app[keys.STARTED] = started
    app[keys.STREAMS] = set()
    app[keys.TABLES] = parts.tables
    app[keys.TOKENS] = parts.tokens
    app[keys.VERSION] = version
    app[keys.TEMPLATES] = _templates(app)
    app.on_response_prepare.append(middleware.secure)
    app.on_response_prepare.append(cross_site.allow_listed)
    app.cleanup_ctx.append(background.run)
    app.on_shutdown.append(page.close_streams)
    for endpoint in ENDPOINTS:
        path = endpoint.path.replace("{serial}", _SERIAL)
        app.router.add_route(endpoint.method, path, endpoint.handler)
        if endpoint.method == "GET":
            app.router.add_route("HEAD", path, endpoint.handler)
    app.router.add_get(page.EVENTS_PATH, page.events, allow_head=False)
    app.router.add_get("/login", login.form)
    app.router.add_post("/login", login.login)
    app.router.add_post("/logout", login.logout)
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
