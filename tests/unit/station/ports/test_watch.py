"""A station to which nothing can ever be plugged in says so, and what to do; the others serve what is there."""

from __future__ import annotations

import asyncio
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from station.config import SessionConfig
from station.events import Bus, NoticeChanged, Topic
from station.ports import udev_rule, watch
from station.ports.watch import DEFAULT_PATTERN, serve_ports, why_none
from station.provisioning.cable import CableProvisioner


def test_only_a_station_that_waits_for_the_rule_in_vain_is_told_of_it() -> None:
    def yes() -> bool:
        return True

    def no() -> bool:
        return False

    told = why_none((DEFAULT_PATTERN,), set(), no)
    assert f"udev/{udev_rule.RULE}" in told
    assert "--serial-port '/dev/ttyACM*'" in told
    assert why_none((DEFAULT_PATTERN,), set(), yes) == ""
    assert why_none((DEFAULT_PATTERN,), {Path("/dev/birthmark/1-1")}, no) == ""
    assert why_none(("/dev/ttyACM*",), set(), no) == ""


async def test_the_notice_comes_at_once_and_goes_when_the_rule_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    rule = SimpleNamespace(there=False)
    monkeypatch.setattr(udev_rule, "is_installed", lambda: rule.there)
    monkeypatch.setattr(watch, "present", lambda _: set())
    bus = Bus()
    with bus.listen() as events:
        serving = asyncio.create_task(
            serve_ports((DEFAULT_PATTERN,), cast("CableProvisioner", None), bus, SessionConfig())
        )
        async with asyncio.timeout(30):
            match await events.get():
                case NoticeChanged(topic=Topic.PORTS, text=text):
                    assert text == bus.notice(Topic.PORTS)
                    assert "udev rule" in text
            rule.there = True
            assert await events.get() == NoticeChanged(Topic.PORTS, "")
    serving.cancel()
