"""What a package is built with."""

from __future__ import annotations

from pathlib import Path

import pytest

from scripts import packages
from scripts.chroot import ChrootError
from scripts.packages import CONTROL, build, build_depends


def test_the_chroot_gets_what_debian_control_names() -> None:
    names = build_depends(CONTROL.read_text())
    assert names[:2] == ["debhelper-compat", "dh-sequence-bash-completion"]
    assert {"libffi-dev", "libsystemd-dev", "python3-venv"} <= set(names)
    assert not any(" " in name or "," in name for name in names)


def test_a_version_is_no_part_of_a_name() -> None:
    assert build_depends("Source: x\nBuild-Depends:\n a (= 13),\n b [arm64],\n c+d,\nStandards-Version: 4\n") == [
        "a",
        "b",
        "c+d",
    ]


@pytest.mark.parametrize(("distribution", "architecture"), [("sarge", "arm64"), ("trixie", "../x")])
def test_an_unknown_release_or_architecture_is_refused_by_name(distribution: str, architecture: str) -> None:
    with pytest.raises(ChrootError, match="is none of"):
        build(distribution, architecture)


def test_only_packages_that_this_build_made_are_judged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script = tmp_path / "packaging/build"
    script.parent.mkdir()
    script.write_text(f"#!/bin/sh\necho new >{tmp_path}/dist/new.deb\n")
    script.chmod(0o755)
    (tmp_path / "dist").mkdir()
    (tmp_path / "dist/old.deb").touch()
    monkeypatch.setattr(packages, "ROOT", tmp_path)
    monkeypatch.setattr(packages, "DIST", tmp_path / "dist")
    monkeypatch.setattr(packages, "this_machine", lambda: ("bookworm", "amd64"))
    assert [path.name for path in build("bookworm", "amd64")] == ["new.deb"]


def test_a_build_that_fails_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script = tmp_path / "packaging/build"
    script.parent.mkdir()
    script.write_text("#!/bin/sh\nexit 3\n")
    script.chmod(0o755)
    monkeypatch.setattr(packages, "ROOT", tmp_path)
    monkeypatch.setattr(packages, "this_machine", lambda: ("bookworm", "amd64"))
    with pytest.raises(ChrootError, match="ended with 3"):
        build("bookworm", "amd64")
