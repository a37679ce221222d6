"""The typed keys under which handlers find the station, and the application's own state."""

from __future__ import annotations

import asyncio
from typing import Final

import jinja2
from aiohttp import web

from station.services import Services
from station.web.auth.sessions import Sessions
from station.web.endpoint import Endpoint
from station.web.http.limiter import Limiter
from station.web.ops.metrics import Metrics

SERVICES: Final = web.AppKey("services", Services)
"""The station itself; the other keys are the application's own."""

BEHIND_PROXY: Final = web.AppKey("behind_proxy", bool)
"""Whether the operator declared that every request comes through a proxy, which does TLS."""

CLOSING: Final = web.AppKey("closing", asyncio.Event)
"""Set when the station stops; it ends the streams."""

LIMITER: Final = web.AppKey("limiter", Limiter)
METRICS: Final = web.AppKey("metrics", Metrics)

OPENAPI: Final = web.AppKey("openapi", dict[str, object])
"""The description of the HTTP interface, as a JSON value."""

ENDPOINTS: Final = web.AppKey("endpoints", dict[tuple[str, str], Endpoint])
"""Method and path, as the router spells it → the endpoint."""

ASSET_VERSION: Final = web.AppKey("asset_version", str)
"""A digest of templates and assets: a page with another version reloads itself."""

SESSIONS: Final = web.AppKey("sessions", Sessions)

STARTED: Final = web.AppKey("started", float)
"""Seconds since 1970."""

STREAMS: Final = web.AppKey("streams", set[object])
"""One object for each page that is listening."""

TEMPLATES: Final = web.AppKey("templates", jinja2.Environment)
VERSION: Final = web.AppKey("version", str)
