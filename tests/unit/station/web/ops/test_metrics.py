"""The metrics that there are, and that every alert finds those it names."""

from __future__ import annotations

import re
from pathlib import Path

import yaml

from tests.harness.api_client import Api

ALERTS = Path(__file__).parents[5] / "prometheus" / "alerts.yml"


async def series(api: Api) -> set[str]:
    text = await (await api.client.get("/metrics")).text()
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
