"""A station to which nothing can ever be plugged in says so, and what to do."""

from __future__ import annotations

import asyncio
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from shared.errors import BirthmarkError
from station.config import SessionConfig
from station.events import Bus, NoticeChanged, Topic
from station.ports import udev_rule, watch
from station.ports.port import open_line
from station.ports.watch import DEFAULT_PATTERN, serve_ports, why_none
from station.provisioning.cable import CableProvisioner

RULES = Path(__file__).parents[3] / "udev"


def installed(root: Path, directory: str, text: str = "SUBSYSTEM==...") -> Path:
    rule = root / directory / udev_rule.RULE
    rule.parent.mkdir(parents=True)
    rule.write_text(text)
    return rule


def test_the_rule_that_is_named_is_the_one_in_the_source_and_makes_the_links() -> None:
    directory = DEFAULT_PATTERN.split("/")[2]
    assert f'SYMLINK+="{directory}/' in (RULES / udev_rule.RULE).read_text()


@pytest.mark.parametrize(
    "directory", ["etc/udev/rules.d", "run/udev/rules.d", "usr/local/lib/udev/rules.d", "usr/lib/udev/rules.d"]
)
def test_the_rule_is_found_wherever_udev_reads_rules(tmp_path: Path, directory: str) -> None:
    assert not udev_rule.is_installed(tmp_path)
    installed(tmp_path, directory)
    assert udev_rule.is_installed(tmp_path)


def test_a_rule_that_the_administrator_has_switched_off_is_not_installed(tmp_path: Path) -> None:
    installed(tmp_path, "usr/lib/udev/rules.d")
    installed(tmp_path, "etc/udev/rules.d", "").unlink()
    (tmp_path / "etc/udev/rules.d" / udev_rule.RULE).symlink_to("/dev/null")
    assert not udev_rule.is_installed(tmp_path)


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


async def test_a_wrong_port_at_the_station_is_told_what_to_do_at_a_station(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for path, code in ((tmp_path / "none", "link.no-port"), (tmp_path / "file", "link.not-a-port")):
        with pytest.raises(BirthmarkError) as caught:
            async with open_line(path):
                pass
        assert caught.value.code == code
        assert "--serial-port" in caught.value.advice
        assert "dtoverlay" not in caught.value.advice
