"""`make release` in a copy of this checkout, with small packages in place of the real ones."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from tests.harness.checkout import ROOT, copy_of_checkout, git

BUILD = """set -e
version=$(dpkg-parsechangelog --file packaging/debian/changelog --show-field Version)
mkdir -p dist
for name in birthmark-agent birthmark-station; do
    mkdir -p .cache/$name/DEBIAN
    printf 'Package: %s\\nVersion: %s\\nArchitecture: all\\nMaintainer: x <x@example.invalid>\\nDescription: x\\n' \
        $name "$version" >.cache/$name/DEBIAN/control
    dpkg-deb --root-owner-group --build .cache/$name dist/${name}_${version}_all.deb
done
"""


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    checkout = copy_of_checkout(tmp_path / "checkout")
    entry = "- **A thing** is `new`.\n- Another, told in so many words that\n  they take two lines.\n"
    (checkout / "CHANGELOG.md").write_text(f"# Changes\n\n## Unreleased\n\n{entry}")
    git(checkout, "commit", "--all", "--quiet", "--message", "Say what is new")
    return checkout


def make_release(checkout: Path, version: str, build: str = BUILD) -> subprocess.CompletedProcess[str]:
    (checkout / ".cache").mkdir(exist_ok=True)
    script = checkout / ".cache" / "build"
    script.write_text(build)
    return subprocess.run(
        [sys.executable, "-m", "scripts.release", version, "--build", f"sh {script}"],
        cwd=checkout,
        capture_output=True,
        text=True,
        timeout=100,
    )


def debian(checkout: Path, field: str) -> str:
    told = subprocess.run(
        ["dpkg-parsechangelog", "--file", "packaging/debian/changelog", "--show-field", field],
        cwd=checkout,
        capture_output=True,
        text=True,
        check=True,
    )
    assert not told.stderr
    return told.stdout.strip()


def test_a_release_is_whole_and_one_commit(checkout: Path) -> None:
    before = git(checkout, "rev-parse", "HEAD")
    done = make_release(checkout, "9.8.7")
    assert done.returncode == 0, done.stderr
    assert git(checkout, "status", "--porcelain") == ""
    assert git(checkout, "rev-parse", "v9.8.7^{commit}", "HEAD~1").split() == [
        git(checkout, "rev-parse", "HEAD"),
        before,
    ]
    assert git(checkout, "cat-file", "-t", "v9.8.7") == "tag"
    assert tomllib.loads((checkout / "pyproject.toml").read_text())["project"]["version"] == "9.8.7"
    assert debian(checkout, "Version") == "9.8.7"
    changes = debian(checkout, "Changes")
    assert "* A thing is new." in changes
    assert "* Another, told in so many words that they take two lines." in changes
    assert re.search(
        r"## Unreleased\n\n## 9\.8\.7 \(\d{4}-\d\d-\d\d\)\n\n- \*\*A thing", (checkout / "CHANGELOG.md").read_text()
    )
    checked = subprocess.run(
        ["sha256sum", "--check", "--strict", "SHA256SUMS"],
        cwd=checkout / "dist",
        check=True,
        capture_output=True,
        text=True,
    )
    assert checked.stdout.splitlines() == ["birthmark-agent_9.8.7_all.deb: OK", "birthmark-station_9.8.7_all.deb: OK"]


@pytest.mark.parametrize(
    ("version", "build", "said"),
    [
        ("1.2", BUILD, "is not a version"),
        ("0.0.1", BUILD, "is older than"),
        ("9.8.7", "exit 3", "failed"),
        ("9.8.7", "true", "left no dist/birthmark-agent_9.8.7"),
    ],
)
def test_a_release_that_fails_leaves_everything_as_it_was(checkout: Path, version: str, build: str, said: str) -> None:
    before = git(checkout, "rev-parse", "HEAD")
    done = make_release(checkout, version, build)
    assert (done.returncode, said in done.stderr) == (1, True), done.stderr
    assert "Traceback" not in done.stderr
    assert git(checkout, "rev-parse", "HEAD") == before
    assert git(checkout, "status", "--porcelain") == git(checkout, "tag") == ""


def test_neither_a_dirty_tree_nor_an_empty_entry_nor_a_used_version_is_released(checkout: Path) -> None:
    (checkout / "stray").touch()
    assert "not clean" in make_release(checkout, "9.8.7").stderr
    (checkout / "stray").unlink()
    git(checkout, "tag", "v9.8.7")
    assert "there is a tag v9.8.7" in make_release(checkout, "9.8.7").stderr
    assert make_release(checkout, "9.8.8").returncode == 0
    assert "nothing under Unreleased" in make_release(checkout, "9.8.9").stderr


def test_the_version_is_the_same_wherever_it_stands() -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert debian(ROOT, "Version") == version
