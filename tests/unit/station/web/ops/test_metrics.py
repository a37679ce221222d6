"""The metrics' names, and that every alert names existing ones."""

from __future__ import annotations

import re
from pathlib import Path

import yaml

from station.validation.verdict import Reason
from station.web.ops.metrics import CERTIFICATE, TOKEN, Metrics
from tests.harness.api_client import Api

ALERTS = Path(__file__).parents[5] / "prometheus" / "alerts.yml"


async def series(api: Api) -> set[str]:
    text = await (await api.get("/metrics")).text()
    return set(re.findall(r"^([a-z_]+)(?:{| )", text, re.MULTILINE)) | set(
        re.findall(r"^# TYPE (\S+)", text, re.MULTILINE)
    )


async def test_every_metric_that_an_alert_names_exists(api: Api) -> None:
    there = await series(api)
    there |= {f"{name}_bucket" for name in there}
    rules = [rule for group in yaml.safe_load(ALERTS.read_text())["groups"] for rule in group["rules"]]
    assert len(rules) >= 5
    for rule in rules:
        named = set(re.findall(r"birthmark_[a-z_]+", rule["expr"]))
        assert named
        assert named <= there, rule["alert"]
        assert rule["annotations"].keys() == {"summary", "advice"}


def test_every_reason_of_a_validation_is_there_with_zero_from_the_start() -> None:
    metrics = Metrics("1.2.3", 1_795_500_000.0)
    metrics.count_validation(TOKEN, Reason.REVOKED)
    for kind in (TOKEN, CERTIFICATE):
        for reason in Reason:
            value = metrics.registry.get_sample_value(
                "birthmark_validations_total", {"kind": kind, "reason": reason.value}
            )
            assert value == ((kind, reason) == (TOKEN, Reason.REVOKED))


def test_metrics_have_version_and_start_and_each_application_counts_for_itself() -> None:
    first, second = Metrics("1.2.3", 1_795_500_000.0), Metrics("1.2.3", 1_795_500_000.0)
    first.rate_limited.labels("page").inc()
    assert first.registry.get_sample_value("birthmark_build_info", {"version": "1.2.3"}) == 1
    assert first.registry.get_sample_value("birthmark_start_time_seconds") == 1_795_500_000.0
    assert second.registry.get_sample_value("birthmark_http_rate_limited_total", {"rate": "page"}) is None
