"""Makes a copy of this checkout, as a clone would be, for tests of make targets and of the README."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[2]


def copy_of_checkout(place: Path) -> Path:
    """Copy everything that git tracks or would track, and commit it in a new repository at `place`."""
    names = git(ROOT, "ls-files", "-z", "--cached", "--others", "--exclude-standard").split("\0")
    for name in names:
        if name and (ROOT / name).is_file():
            (place / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, place / name)
    git(place, "init", "--quiet")
    for key, value in {"user.name": "Test", "user.email": "test@example.invalid", "commit.gpgSign": "false"}.items():
        git(place, "config", key, value)
    git(place, "add", "--all")
    git(place, "commit", "--quiet", "--message", "A copy")
    return place


def git(checkout: Path, *arguments: str) -> str:
    """Run git, and return what it prints. Raises CalledProcessError."""
    done = subprocess.run(["git", *arguments], cwd=checkout, capture_output=True, text=True, check=True)
    return done.stdout.strip()
