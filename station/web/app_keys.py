"""The typed keys under which handlers find the station, and the application's own state."""

from __future__ import annotations

import asyncio
from typing import Final

import jinja2
from aiohttp import web

from station.services import Services
from station.web.auth.sessions import Sessions
from station.web.endpoint import Endpoint
from station.web.http.addresses import Proxies
from station.web.http.limiter import Limiter
from station.web.http.turns import Turns
from station.web.ops.metrics import Metrics
from station.web.pages.listeners import Listeners

SERVICES: Final = web.AppKey("services", Services)
"""The station itself; the other keys are the application's own."""

PROXIES: Final = web.AppKey("proxies", Proxies)
"""The proxies that the operator declared."""

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

LISTENERS: Final = web.AppKey("listeners", Listeners)
"""The pages that listen to the stream of events."""

TEMPLATES: Final = web.AppKey("templates", jinja2.Environment)
TURNS: Final = web.AppKey("turns", Turns)
VERSION: Final = web.AppKey("version", str)
