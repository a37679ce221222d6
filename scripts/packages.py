"""`make packages`: builds the packages for a release and an architecture into dist/, judges them, prints their sizes.

What this machine is not is built in a chroot (`scripts/chroot.py`).
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
from pathlib import Path
from typing import Final

from scripts.chroot import COMPILERS, TRIPLETS, ChrootError, System, make, run, this_machine

ROOT: Final = Path(__file__).parents[1]
CONTROL: Final = ROOT / "packaging/debian/control"
DIST: Final = ROOT / "dist"


def build_depends(control: str) -> list[str]:
    """Return the packages that debian/control names to build with, without their versions."""
    found = re.search(r"^Build-Depends:\n((?: .*\n)+)", control, re.MULTILINE)
    assert found, "debian/control has no Build-Depends"
    return re.findall(r"^ ([a-z0-9.+-]+)", found[1], re.MULTILINE)


def build(distribution: str, architecture: str) -> list[Path]:
    """Build both packages, and return them. Raises ChrootError."""
    before = {path: path.stat().st_mtime_ns for path in DIST.glob("*.deb")}
    if (distribution, architecture) == this_machine():
        code = subprocess.run([ROOT / "packaging/build"], check=False).returncode
    else:
        root = make("packages", System(distribution, architecture), build_depends(CONTROL.read_text(encoding="utf-8")))
        code = run(root, "packaging/build")
    if code:
        raise ChrootError(f"packaging/build for {distribution} on {architecture} ended with {code}")
    return sorted(path for path in DIST.glob("*.deb") if before.get(path) != path.stat().st_mtime_ns)


def size(package: Path) -> str:
    """Return a line with the package's name and sizes."""
    told = subprocess.run(
        ["dpkg-deb", "--field", package, "Installed-Size"], stdout=subprocess.PIPE, text=True, check=True
    ).stdout
    return f"{package.name}: {package.stat().st_size / 1e6:.1f} MB, installed {int(told) * 1024 / 1e6:.1f} MB"


def main() -> int:
    own_distribution, own_architecture = this_machine()
    parser = argparse.ArgumentParser(prog="make packages", description=__doc__)
    parser.add_argument("--distribution", default=own_distribution, help=f"one of {', '.join(COMPILERS)}")
    parser.add_argument("--architecture", default=own_architecture, help=f"one of {', '.join(TRIPLETS)}")
    arguments = parser.parse_args()
    try:
        built = build(arguments.distribution, arguments.architecture)
    except ChrootError as error:
        print(f"packages: {error}", file=sys.stderr)
        return 1
    judged = subprocess.run(["lintian", "--allow-root", "--fail-on", "error,warning", *built], check=False).returncode
    print(*map(size, built), sep="\n")
    return judged


if __name__ == "__main__":
    sys.exit(main())
