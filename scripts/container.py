"""`make container`: makes the image birthmark-station by buildah, from this checkout's package and mmdebstrap's Debian.

No image registry is asked. BASE names another image to begin with, such as debian:bookworm-slim.
"""

from __future__ import annotations

import argparse
import hashlib
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

from scripts import packages
from scripts.chroot import ROOT, ChrootError, System, bootstrap, this_machine

RELEASE: Final = "bookworm"
IMAGE: Final = "localhost/birthmark-station"
FOLDER: Final = ROOT / "packaging/container"
CACHE: Final = ROOT / ".cache/container"

DEPENDS: Final = ("debconf", "kmod", "python3", "systemd-standalone-sysusers", "udev")
"""What the station's package depends on: with these in the base nothing is fetched when it is installed."""


class ImageError(Exception):
    """Why there is no image, in a sentence for the user."""


def base_tar(architecture: str) -> Path:
    """Return Debian alone, as a tar file in the cache; only other ingredients make it anew. Raises ChrootError."""
    digest = hashlib.sha256(f"{RELEASE} {architecture} {DEPENDS}".encode()).hexdigest()[:12]
    tar = CACHE / f"base-{digest}.tar"
    if not tar.exists():
        CACHE.mkdir(parents=True, exist_ok=True)
        made = tar.with_suffix(".part")
        bootstrap(System(RELEASE, architecture), DEPENDS, made, "--variant=minbase", "--format=tar")
        made.rename(tar)
    return tar


def base(architecture: str) -> str:
    """Return the name of an image of Debian alone. Raises ChrootError or ImageError."""
    tar = base_tar(architecture)
    name = f"localhost/birthmark-base:{tar.stem.removeprefix('base-')}"
    if subprocess.run(["buildah", "inspect", "--type=image", name], capture_output=True, check=False).returncode:
        context = _new_context()
        (context / "Containerfile").write_text(f"FROM scratch\nADD {tar.name} /\n", encoding="utf-8")
        (context / tar.name).hardlink_to(tar)
        _build(context, name)
    return name


def make(package: Path, base: str) -> str:
    """Make the image from a package of the station and the image `base`. Returns its name. Raises ImageError."""
    context = _new_context()
    shutil.copy(FOLDER / "Containerfile", context)
    shutil.copy(package, context)
    _build(context, IMAGE, f"--build-arg=BASE={base}")
    return IMAGE


def package(architecture: str) -> Path:
    """Build the station's package. Raises ChrootError."""
    (found,) = (path for path in packages.build(RELEASE, architecture) if path.name.startswith("birthmark-station_"))
    return found


def _new_context() -> Path:
    context = CACHE / "context"
    shutil.rmtree(context, ignore_errors=True)
    context.mkdir(parents=True)
    return context


def _build(context: Path, name: str, *options: str) -> None:
    """Build in Docker's format, for OCI's has no health check, and in the isolation that every machine allows."""
    done = subprocess.run(
        ["buildah", "build", "--quiet", "--format=docker", "--isolation=chroot", "--network=host", *options,
         f"--tag={name}", context],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False,
    )  # fmt: skip
    if done.returncode:
        raise ImageError(f"buildah ended with {done.returncode}:\n{done.stdout[-3000:]}")


def main() -> int:
    parser = argparse.ArgumentParser(prog="make container", description=__doc__)
    parser.add_argument("--base", help="an image to begin with, instead of mmdebstrap's")
    parser.add_argument("--package", type=Path, help="the station's package, instead of one built from this checkout")
    arguments = parser.parse_args()
    architecture = this_machine()[1]
    try:
        print(make(arguments.package or package(architecture), arguments.base or base(architecture)))
    except (ChrootError, ImageError) as error:
        print(f"container: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
