"""A releaser's signed repository, and a machine that takes packages from it as docs/apt.md says."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Final

from tests.harness.releaser import releaser, source_for_apt
from tests.system.image import CACHE, packages, run

SETTINGS: Final = "etc/default/birthmark-agent"
NEW_SETTING: Final = "#BIRTHMARK_NEW_SETTING="
_WHERE: Final = "srv/packages"


@cache
def newer_agent() -> Path:
    """Make the agent's package once more, with a higher version and another file of settings."""
    agent = packages()["agent"]
    work = CACHE / "newer"
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    run("dpkg-deb", "-R", agent, work / "tree")
    control = work / "tree/DEBIAN/control"
    control.write_text(re.sub(r"^(Version: .*)(\+deb\d+)$", r"\1+newer\2", control.read_text(), flags=re.MULTILINE))
    settings = work / "tree" / SETTINGS
    settings.write_text(f"{settings.read_text()}\n{NEW_SETTING}\n")
    package = work / agent.name.replace("+deb", "+newer+deb")
    run("dpkg-deb", "--root-owner-group", "-Zgzip", "-z1", "-b", work / "tree", package)
    shutil.rmtree(work / "tree")
    return package


def offer(root: Path, offered: Iterable[Path], distribution: str) -> None:
    """Put a repository of these packages on a disk, and the key and the source that docs/apt.md names.

    `root` may also be an empty directory that is then copied onto a disk.
    """
    where = root / _WHERE
    where.mkdir(parents=True)
    for package in offered:
        shutil.copy(package, where)
    with releaser() as one:
        one.publish(where, one.make_key("Releaser <releaser@example.invalid>"))
    for package in where.glob("*.deb"):
        package.unlink()
    keyring = root / "etc/apt/keyrings"
    keyring.mkdir(parents=True, exist_ok=True)
    shutil.copy(where / "apt-repository/birthmark.asc", keyring)
    sources = root / "etc/apt/sources.list.d"
    sources.mkdir(exist_ok=True)
    (sources / "birthmark.sources").write_text(source_for_apt(f"file:/{_WHERE}/apt-repository", distribution))
