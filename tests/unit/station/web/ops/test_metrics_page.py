"""`/metrics` as Prometheus reads it."""

from __future__ import annotations

import re

import pytest

from station.events import PortChanged, PortState
from station.web.ops import metrics_page
from tests.harness.api_client import Api, problem


async def test_the_metrics_count_sessions_units_ports_and_disk(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metrics_page, "FRESH_SECONDS", 0.0)
    await api.provision("CAM-1")
    api.testbed.station.bus.tell(PortChanged("/dev/ttyACM0", PortState.FAILED, code="csr.subject-differs"))
    text = await (await api.get("/metrics")).text()
    assert 'birthmark_sessions_total{code="csr.subject-differs",outcome="failed"} 1.0' in text
    assert 'birthmark_units{state="provisioned"} 1.0' in text
    assert 'birthmark_ports{state="failed"} 1.0' in text
    assert 'birthmark_provision_requests_total{code="",outcome="provisioned"} 1.0' in text
    assert re.search(r"^birthmark_disk_free_bytes [1-9]", text, re.MULTILINE)
    assert re.search(r'^birthmark_certificate_expiry_timestamp_seconds{certificate="root"} 2\.', text, re.MULTILINE)
    assert "/dev/" not in text


async def test_only_a_token_reads_the_metrics(api: Api) -> None:
    """They tell why a validation failed, which `/validate` tells nobody."""
    await problem(await api.client.get("/metrics"), 401, "access.required")
    assert (await api.get("/metrics")).status == 200
