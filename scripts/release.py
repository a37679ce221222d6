"""`make release VERSION=x.y.z`: version, changelogs, packages with check sums in dist/, then a commit and a tag.

It commits nothing unless the packages were built; when a step fails, it restores the files.
"""

from __future__ import annotations

import argparse
import datetime as dt
import email.utils
import hashlib
import re
import shlex
import subprocess
import sys
import textwrap
import tomllib
from pathlib import Path
from typing import Final

PACKAGES: Final = ("birthmark-agent", "birthmark-station")
CHANGELOG: Final = Path("CHANGELOG.md")
PYPROJECT: Final = Path("pyproject.toml")
DEBIAN_CHANGELOG: Final = Path("packaging/debian/changelog")
BUILD_DATE: Final = Path("device_agent/build_date.py")

_VERSION: Final = re.compile(r"(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)")
_UNRELEASED: Final = "## Unreleased\n"
_DEBIAN_WIDTH: Final = 80


class ReleaseError(Exception):
    """Why there is no release, in a sentence for the user."""


def main() -> int:
    parser = argparse.ArgumentParser(prog="make release", description=__doc__)
    parser.add_argument("version", help="such as 1.2.3: make release VERSION=1.2.3")
    parser.add_argument("--build", default="make packages", help="command that builds the packages into dist/")
    arguments = parser.parse_args()
    try:
        release(arguments.version, shlex.split(arguments.build), dt.datetime.now(dt.UTC))
    except ReleaseError as error:
        print(f"release: {error}", file=sys.stderr)
        return 1
    print(f"release: {arguments.version} is committed and tagged; now: git push --follow-tags, and publish dist/")
    return 0


def release(version: str, build: list[str], now: dt.datetime) -> None:
    """Make the release in the working directory, the root of the checkout. Raises ReleaseError."""
    _check_version(version)
    if _git("status", "--porcelain"):
        raise ReleaseError("the tree is not clean; commit or stash first: git status")
    if _git("tag", "--list", f"v{version}"):
        raise ReleaseError(f"there is a tag v{version} already")
    entry = unreleased(CHANGELOG.read_text(encoding="utf-8"))
    files = {
        CHANGELOG: released(CHANGELOG.read_text(encoding="utf-8"), version, now),
        PYPROJECT: with_version(PYPROJECT.read_text(encoding="utf-8"), version),
        DEBIAN_CHANGELOG: with_stanza(DEBIAN_CHANGELOG.read_text(encoding="utf-8"), version, entry, now),
        BUILD_DATE: with_build_date(BUILD_DATE.read_text(encoding="utf-8"), now),
    }
    before = {path: path.read_bytes() for path in files}
    try:
        for path, text in files.items():
            path.write_text(text, encoding="utf-8")
        _run(*build)
        _write_sums(version)
        _git("commit", "--quiet", "--message", f"Release {version}", "--", *map(str, files))
    except BaseException:
        for path, content in before.items():
            path.write_bytes(content)
        _git("reset", "--quiet")
        raise
    _git("tag", "--annotate", f"v{version}", "--message", f"Release {version}")


def _check_version(version: str) -> None:
    if not _VERSION.fullmatch(version):
        raise ReleaseError(f"{version!r} is not a version such as 1.2.3")
    present = tomllib.loads(PYPROJECT.read_text(encoding="utf-8"))["project"]["version"]
    if _numbers(version) < _numbers(present):
        raise ReleaseError(f"{version} is older than {present}, which is there already")


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(map(int, version.split(".")))


def unreleased(changelog: str) -> str:
    """Return the text of CHANGELOG.md under Unreleased. Raises ReleaseError if there is none."""
    _, heading, rest = changelog.partition(_UNRELEASED)
    entry = re.split(r"^## ", rest, maxsplit=1, flags=re.MULTILINE)[0].strip()
    if not heading or not entry:
        raise ReleaseError("CHANGELOG.md says nothing under Unreleased")
    return entry


def released(changelog: str, version: str, now: dt.datetime) -> str:
    """Return CHANGELOG.md with that entry under the version, and an empty Unreleased above."""
    return changelog.replace(_UNRELEASED, f"{_UNRELEASED}\n## {version} ({now:%Y-%m-%d})\n", 1)


def with_version(pyproject: str, version: str) -> str:
    """Return pyproject.toml with the project's version set."""
    return re.sub(r'^version = ".*"$', f'version = "{version}"', pyproject, count=1, flags=re.MULTILINE)


def with_build_date(module: str, now: dt.datetime) -> str:
    """Return device_agent/build_date.py with this day, before which no agent of the release takes the present to be."""
    return re.sub(r"dt\.datetime\([^)]*\)", f"dt.datetime({now.year}, {now.month}, {now.day}, tzinfo=dt.UTC)", module)


def with_stanza(changelog: str, version: str, entry: str, now: dt.datetime) -> str:
    """Return debian/changelog with `entry`'s paragraphs as its newest stanza, in place of one of the same version."""
    name, _, _ = changelog.partition(" ")
    signed = re.findall(r"^ -- (.*?)  ", changelog, re.MULTILINE)
    stanzas = re.split(rf"^(?={re.escape(name)} \()", changelog, flags=re.MULTILINE)[1:]
    older = [stanza for stanza in stanzas if not stanza.startswith(f"{name} ({version})")]
    new = (
        f"{name} ({version}) unstable; urgency=medium\n\n"
        + "\n".join(_bullets(entry))
        + f"\n\n -- {signed[0]}  {email.utils.format_datetime(now)}\n"
    )
    return "\n".join((new, *(stanza.strip("\n") + "\n" for stanza in older)))


def _bullets(entry: str) -> list[str]:
    """Return each bullet and paragraph of Markdown as a bullet of a Debian changelog, without emphasis."""
    plain = re.sub(r"\*\*|`", "", entry)
    paragraphs = re.split(r"\n\s*\n|\n(?=- )", plain)
    return [
        textwrap.fill(
            " ".join(paragraph.removeprefix("- ").split()),
            _DEBIAN_WIDTH,
            initial_indent="  * ",
            subsequent_indent="    ",
            break_long_words=False,
        )
        for paragraph in paragraphs
    ]


def _write_sums(version: str) -> None:
    """Write dist/SHA256SUMS for the packages of this version, in the form of sha256sum."""
    built = [path for name in PACKAGES for path in sorted(Path("dist").glob(f"{name}_{version}[+_]*.deb"))]
    for name in PACKAGES:
        if not any(path.name.startswith(f"{name}_") for path in built):
            raise ReleaseError(f"the build left no dist/{name}_{version}*.deb")
    sums = (f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}\n" for path in built)
    Path("dist", "SHA256SUMS").write_text("".join(sums), encoding="utf-8")


def _git(*arguments: str) -> str:
    return _run("git", *arguments, capture=True)


def _run(*command: str, capture: bool = False) -> str:
    try:
        done = subprocess.run(command, check=True, text=True, stdout=subprocess.PIPE if capture else None)
    except (OSError, subprocess.CalledProcessError) as error:
        raise ReleaseError(f"{shlex.join(command)} failed: {error}") from error
    return (done.stdout or "").strip()


if __name__ == "__main__":
    sys.exit(main())
