"""What the handlers find in the application, each under a typed key."""

from __future__ import annotations

import asyncio
from typing import Final

import jinja2
from aiohttp import web

from station.authority.authority import Authority
from station.config import EkPolicy, StationConfig
from station.events import Bus
from station.registry.database import Database

AUTHORITY: Final = web.AppKey("authority", Authority)
BUS: Final = web.AppKey("bus", Bus)

CLOSING: Final = web.AppKey("closing", asyncio.Event)
"""Set when the station stops: the streams then end."""

CONFIG: Final = web.AppKey("config", StationConfig)
DATABASE: Final = web.AppKey("database", Database)
POLICY: Final = web.AppKey("policy", EkPolicy)

EDITION: Final = web.AppKey("edition", str)
"""A digest of templates and assets: a page of another edition loads itself anew."""

STARTED: Final = web.AppKey("started", float)
"""Seconds since 1970."""

STREAMS: Final = web.AppKey("streams", set[object])
"""One for each page that listens at this moment."""

TEMPLATES: Final = web.AppKey("templates", jinja2.Environment)
VERSION: Final = web.AppKey("version", str)
