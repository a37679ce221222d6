"""What debian/rules puts into the agent's package depends on the systemd of the release it is built for."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tests.harness.checkout import ROOT

BACK_OFF = "debian/birthmark-agent/usr/lib/systemd/system/birthmark-agent.service.d/backoff.conf"


def install_units(tree: Path, systemd: int | None) -> subprocess.CompletedProcess[str]:
    """Run that step of debian/rules in a copy, without debhelper, and with a pkg-config that knows `systemd`."""
    (tree / "debian").mkdir()
    (tree / "debian/rules").write_text((ROOT / "packaging/debian/rules").read_text())
    (tree / "systemd").symlink_to(ROOT / "systemd")
    programs = tree / "bin"
    programs.mkdir()
    asked = f'case $word in --atleast-version=*) test {systemd} -ge "${{word#*=}}" || exit 1;; esac'
    answers = {
        "dh_installsystemd": "exit 0",
        "pkg-config": "exit 1" if systemd is None else f"for word; do {asked}; done",
    }
    for name, text in answers.items():
        (programs / name).write_text(f"#!/bin/sh\n{text}\n")
        (programs / name).chmod(0o755)
    return subprocess.run(
        ["make", "-f", "debian/rules", "override_dh_installsystemd"],
        cwd=tree,
        env={**os.environ, "PATH": f"{programs}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        timeout=120,
    )


@pytest.mark.parametrize(("systemd", "has_it"), [(252, False), (254, True), (257, True)])
def test_restarts_back_off_where_systemd_can_do_it(tmp_path: Path, systemd: int, has_it: bool) -> None:
    done = install_units(tmp_path, systemd)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / BACK_OFF).exists() == has_it


def test_a_build_that_does_not_know_its_systemd_fails_instead_of_leaving_it_out(tmp_path: Path) -> None:
    assert install_units(tmp_path, None).returncode != 0


def test_what_tells_the_version_is_among_the_build_dependencies() -> None:
    control = (ROOT / "packaging/debian/control").read_text()
    assert "\n libsystemd-dev,\n" in control
    assert "\n libffi-dev,\n" in control, "cffi has no wheel for 32-bit ARM"
