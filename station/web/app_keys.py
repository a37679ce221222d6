"""The typed keys under which handlers find the station's parts in the application."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Final

import jinja2
from aiohttp import web

from station.attestation.ek.vendor_directory import VendorsDirectory
from station.authority.files import Authority
from station.config import EkPolicy, StationConfig
from station.events import Bus
from station.provisioning.offline import OfflineProvisioner
from station.registry.database import Database
from station.secrets.key_tables import KeyTables
from station.validation.certificates import CertificateValidator
from station.validation.revocation_list import CurrentRevocationList
from station.validation.tokens import TokenValidator
from station.web.auth.sessions import Sessions
from station.web.endpoint import Endpoint
from station.web.http.limiter import Limiter
from station.web.ops.metrics import Metrics

AUTHORITY: Final = web.AppKey("authority", Authority)

BEHIND_PROXY: Final = web.AppKey("behind_proxy", bool)
"""Whether the operator declared that every request comes through a proxy, which does TLS."""

BUS: Final = web.AppKey("bus", Bus)
CERTIFICATES: Final = web.AppKey("certificates", CertificateValidator)

CLOSING: Final = web.AppKey("closing", asyncio.Event)
"""Set when the station stops; it ends the streams."""

CONFIG: Final = web.AppKey("config", StationConfig)
DATA_DIR: Final = web.AppKey("data_dir", Path)
DATABASE: Final = web.AppKey("database", Database)
OFFLINE_PROVISIONER: Final = web.AppKey("offline_provisioner", OfflineProvisioner)

GAUGES_READ: Final = web.AppKey("gauges_read", list[float])
"""One value: when the gauges were last read from the registry, on the monotonic clock."""

LIMITER: Final = web.AppKey("limiter", Limiter)
VENDORS: Final = web.AppKey("vendors", VendorsDirectory)
METRICS: Final = web.AppKey("metrics", Metrics)

OPENAPI: Final = web.AppKey("openapi", dict[str, object])
"""The description of the HTTP interface, as a JSON value."""

POLICY: Final = web.AppKey("policy", EkPolicy)

ENDPOINTS: Final = web.AppKey("endpoints", dict[tuple[str, str], Endpoint])
"""Method and path, as the router spells it → the endpoint."""

ASSET_VERSION: Final = web.AppKey("asset_version", str)
"""A digest of templates and assets: a page with another version reloads itself."""

REVOCATION_LIST: Final = web.AppKey("revocation_list", CurrentRevocationList)
SESSIONS: Final = web.AppKey("sessions", Sessions)

STARTED: Final = web.AppKey("started", float)
"""Seconds since 1970."""

STREAMS: Final = web.AppKey("streams", set[object])
"""One object for each page that is listening."""

TABLES: Final = web.AppKey("tables", KeyTables)
TEMPLATES: Final = web.AppKey("templates", jinja2.Environment)
TOKENS: Final = web.AppKey("tokens", TokenValidator)
VERSION: Final = web.AppKey("version", str)
