"""The udev rule that makes /dev/birthmark/* is found wherever udev reads rules, unless it is switched off."""

from __future__ import annotations

from pathlib import Path

import pytest

from station.ports import udev_rule
from station.ports.watch import DEFAULT_PATTERN

RULES = Path(__file__).parents[4] / "udev"


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
