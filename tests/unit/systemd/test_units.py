"""What the units have systemd, which is root, read and write lies in directories that are root's.

It follows links: what a service's user may put in place of a path, it is given the content of
(`tests/system/test_service_user.py` shows it).
"""

from __future__ import annotations

import re
from pathlib import Path, PurePosixPath

import pytest

ROOT = Path(__file__).parents[3]
UNITS = sorted(path for path in (ROOT / "systemd").iterdir() if path.is_file())
PAGES = sorted((ROOT / "docs").glob("*.md"))

READ = re.compile(
    r"^\s*(LoadCredential|LoadCredentialEncrypted|ImportCredential|EnvironmentFile|StandardInput|StandardOutput"
    r"|StandardError|BindPaths|BindReadOnlyPaths|OpenFile|PIDFile|RootDirectory)=(.+)$",
    re.MULTILINE,
)
ROOTS_OWN = ("/etc/", "/root/", "/usr/", "/run/credentials/")
"""Directories into which no service's user writes; /var/lib/birthmark-… are theirs."""


def read_by_root(text: str) -> list[PurePosixPath]:
    return [PurePosixPath(path) for _, value in READ.findall(text) for path in re.findall(r"/[^\s:'\"]*", value)]


@pytest.mark.parametrize("file", [*UNITS, *PAGES], ids=lambda file: file.name)
def test_systemd_reads_for_a_service_only_from_directories_of_roots(file: Path) -> None:
    for path in read_by_root(file.read_text()):
        assert str(path).startswith(ROOTS_OWN), f"{file.name}: {path}"
        assert ".." not in path.parts


def test_the_files_that_the_units_and_the_guide_name_are_found() -> None:
    assert PurePosixPath("/etc/default/birthmark-station") in read_by_root(
        (ROOT / "systemd/birthmark-station.service").read_text()
    )
    named = read_by_root((ROOT / "docs/operator.md").read_text())
    assert PurePosixPath("/root/station.key") in named
    assert PurePosixPath("/etc/birthmark-station/tls.key") in named
    theirs = "LoadCredential=station.key:/var/lib/birthmark-station/data/secrets/station.key"
    assert read_by_root(theirs) == [PurePosixPath("/var/lib/birthmark-station/data/secrets/station.key")]


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
def test_nothing_is_run_as_root_for_a_services_user(unit: Path) -> None:
    """The gadget's unit is root's own: it has no state directory, and its program reads none."""
    text = unit.read_text()
    assert not re.search(r"^Exec\w+=[-@:]*[+!]", text, re.MULTILINE)
    assert ("StateDirectory=" in text) == ("User=" in text)
