"""systemd-analyze accepts the drop-ins of the operator's pages, with the units they change."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest

from tests.system.words import words

ROOT = Path(__file__).parents[3]
WRITTEN = re.compile(r"^sudo tee /etc/systemd/system/(\S+) <<'EOF'\n(.*?)^EOF$", re.MULTILINE | re.DOTALL)


def drop_ins(page: str, heading: str) -> dict[str, str]:
    """Return the files that the section's commands write below /etc/systemd/system, by their path there."""
    return {
        place: text for each in words(ROOT / "docs" / page, heading) for place, text in WRITTEN.findall(each.commands)
    }


def verify(units: Path) -> str:
    """Return what systemd-analyze says of our units; nothing if all is well."""
    done = subprocess.run(
        [
            "systemd-analyze",
            "verify",
            "--man=no",
            units / "birthmark-station.service",
            units / "birthmark-station.socket",
        ],
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, "SYSTEMD_UNIT_PATH": f"{units}:"},
    )
    return "\n".join(line for line in done.stderr.splitlines() if "birthmark" in line)


@pytest.fixture
def units(tmp_path: Path) -> Path:
    """Copy the station's units, with commands that exist."""
    for name in ("birthmark-station.service", "birthmark-station.socket"):
        text = (ROOT / "systemd" / name).read_text()
        (tmp_path / name).write_text(text.replace("/usr/bin/birthmark-station", "/bin/true"))
    return tmp_path


@pytest.mark.parametrize(
    ("page", "heading", "count"),
    [
        ("operator.md", "By the station's own TLS", 2),
        ("operator.md", "Behind nginx", 1),
        ("containers.md", "An aggregator in a container", 1),
    ],
)
def test_systemd_accepts_the_drop_ins_of_the_guide(units: Path, page: str, heading: str, count: int) -> None:
    written = drop_ins(page, heading)
    assert len(written) == count
    for place, text in written.items():
        (units / place).parent.mkdir()
        (units / place).write_text(text)
    assert verify(units) == ""


def test_systemd_would_find_a_mistyped_word(units: Path) -> None:
    (units / "birthmark-station.socket.d").mkdir()
    (units / "birthmark-station.socket.d" / "aggregator.conf").write_text("[Socket]\nListenStraem=443\n")
    assert "ListenStraem" in verify(units)
