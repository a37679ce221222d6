"""`/metrics`: current counters, and gauges that are read on request, at most once in `FRESH_SECONDS`."""

from __future__ import annotations

import asyncio
import shutil
import time
from typing import Final

from aiohttp import web
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

from station.events import PortState
from station.registry import certificates, units, validations
from station.services import Services
from station.web import app_keys
from station.web.ops.metrics import Metrics
from station.web.views.overview import EXPIRES_SOON

FRESH_SECONDS: Final = 5.0
"""How long gauges are reused, so that many clients cost no more than one."""


async def metrics_page(request: web.Request) -> web.Response:
    """Serve the metrics. Raises `registry.unavailable`."""
    app = request.app
    now, metrics = time.monotonic(), app[app_keys.METRICS]
    if now - metrics.gauges_read >= FRESH_SECONDS:
        await _read_gauges(metrics, app[app_keys.SERVICES])
        metrics.gauges_read = now
    text = await asyncio.to_thread(generate_latest, metrics.registry)
    return web.Response(body=text, headers={"Content-Type": CONTENT_TYPE_LATEST})


async def _read_gauges(metrics: Metrics, station: Services) -> None:
    now = int(station.clock())
    async with station.database.read() as connection:
        states = await units.count_by_state(connection)
        metrics.expiring.set(await certificates.count_expiring(connection, now, now + EXPIRES_SOON))
        warning = station.config.validation.daily_warning
        metrics.validated_often.set(await validations.count_often(connection, station.counts.today(), warning))
    metrics.uncounted.set(station.counts.uncounted)
    for state, count in states.items():
        metrics.units.labels(state.value).set(count)
    ports = [port.state for port in station.bus.ports()]
    for port_state in PortState:
        metrics.ports.labels(port_state.value).set(ports.count(port_state))
    authority = station.authority
    named = {
        "root": authority.certificates.root,
        "intermediate": authority.certificates.intermediate,
        "station": station.own.identity().certificate,
    }
    for name, certificate in named.items():
        metrics.certificate_expiry.labels(name).set(certificate.not_valid_after_utc.timestamp())
    disk = await asyncio.to_thread(shutil.disk_usage, station.data_dir)
    metrics.disk_free.set(disk.free)
    metrics.disk_size.set(disk.total)
