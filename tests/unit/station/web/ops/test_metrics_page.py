"""`/metrics` as Prometheus reads it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from station.config import MetricsAccess, StationConfig, WebConfig
from station.events import PortChanged, PortState
from station.web.ops import metrics_page
from tests.harness.api_client import Api, opened


async def test_the_metrics_count_sessions_units_ports_and_disk(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metrics_page, "FRESH_SECONDS", 0.0)
    await api.provision("CAM-1")
    api.testbed.station.bus.tell(PortChanged("/dev/ttyACM0", PortState.FAILED, code="csr.subject-differs"))
    text = await (await api.client.get("/metrics")).text()
    assert 'birthmark_sessions_total{code="csr.subject-differs",outcome="failed"} 1.0' in text
    assert 'birthmark_units{state="provisioned"} 1.0' in text
    assert 'birthmark_ports{state="failed"} 1.0' in text
    assert 'birthmark_provision_requests_total{code="",outcome="provisioned"} 1.0' in text
    assert re.search(r"^birthmark_disk_free_bytes [1-9]", text, re.MULTILINE)
    assert re.search(r'^birthmark_certificate_expiry_timestamp_seconds{certificate="root"} 2\.', text, re.MULTILINE)
    assert "/dev/" not in text


@pytest.mark.parametrize(
    ("access", "headers", "status"),
    [
        (MetricsAccess.OPEN, {"X-Forwarded-For": "192.0.2.1"}, 200),
        (MetricsAccess.LOOPBACK, {}, 200),
        (MetricsAccess.LOOPBACK, {"X-Forwarded-For": "192.0.2.1"}, 401),
        (MetricsAccess.TOKEN, {}, 401),
    ],
)
async def test_the_settings_say_who_reads_the_metrics(
    tmp_path: Path, access: MetricsAccess, headers: dict[str, str], status: int
) -> None:
    async with opened(tmp_path, StationConfig(web=WebConfig(metrics=access))) as api:
        assert (await api.client.get("/metrics", headers=headers)).status == status
        assert (await api.get("/metrics", headers=headers)).status == 200
