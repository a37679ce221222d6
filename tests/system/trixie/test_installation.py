"""The packages for Trixie, installed there by apt from a signed repository: what they bring, what removing leaves."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from scripts.chroot import System, bootstrap, remove, this_machine
from tests.system.archive import offer
from tests.system.image import built

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600)]

STATE = "/var/lib/birthmark-agent"


@pytest.fixture(autouse=True)
def nothing_failed() -> None:
    """Nothing is started in a chroot."""


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Install both packages with all that they depend on, and nothing else."""
    work = tmp_path_factory.mktemp("trixie")
    architecture = this_machine()[1]
    offer(work / "offered", built(architecture, "trixie").values(), "trixie")
    root = work / "root"
    inside = 'chroot "$1" env DEBIAN_FRONTEND=noninteractive'
    names = "birthmark-agent birthmark-station"
    bootstrap(
        System("trixie", architecture), ["ca-certificates"], root, "--variant=minbase",
        f"--customize-hook=cp -r {work}/offered/. \"$1/\"",
        f"--customize-hook={inside} apt-get update --error-on=any",
        f"--customize-hook={inside} apt-get install -y --no-install-recommends {names}",
    )  # fmt: skip
    yield root
    remove(root)


def inside(root: Path, command: str) -> str:
    done = subprocess.run(
        ["chroot", root, "env", "-i", "PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C.UTF-8",
         "DEBIAN_FRONTEND=noninteractive", "sh", "-c", command],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=600,
    )  # fmt: skip
    assert done.returncode == 0, f"{command}: {done.stdout}"
    return done.stdout


def test_both_programs_run_on_its_python(root: Path) -> None:
    for program in ("birthmark-agent", "birthmark-station"):
        assert "Usage:" in inside(root, f"{program} --help")
        assert "lib/python3.13/" in inside(root, f"dpkg -L {program}")


def test_restarts_of_the_agent_back_off(root: Path) -> None:
    drop_in = "/usr/lib/systemd/system/birthmark-agent.service.d/backoff.conf"
    assert "RestartSteps=" in inside(root, f"cat {drop_in}")


def test_a_nuc_map_can_be_put_where_the_agent_looks_for_it(root: Path) -> None:
    assert inside(root, f"stat -c '%U:%G %a' {STATE}").strip() == "birthmark-agent:birthmark-agent 700"


def test_a_purge_leaves_an_empty_state_directory_no_more_than_the_rest(root: Path) -> None:
    inside(root, "apt-get purge -y birthmark-agent birthmark-station")
    inside(root, "rm -r /srv/packages /etc/apt/keyrings/birthmark.asc /etc/apt/sources.list.d/birthmark.sources")
    left = "find / -xdev -name '*birthmark*' -not -path '/proc/*' -not -path '/root/*' -not -path '/var/lib/dpkg/*'"
    assert inside(root, left) == ""
