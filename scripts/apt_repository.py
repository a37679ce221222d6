"""`make apt-repository KEY=…`: a signed apt repository of the packages in dist/, as dist/apt-repository.

Each Debian release has a flat directory of its own: apt would take Trixie's package, whose version is the higher one,
for an upgrade in Bookworm. The repository appears, or replaces the former one, in one step.
"""

from __future__ import annotations

import argparse
import datetime as dt
import email.utils
import fcntl
import gzip
import lzma
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from scripts.packages import DIST

NAME: Final = "apt-repository"
"""In dist/: a link to the current tree, whose own name is `.apt-repository-…`."""

PUBLIC_KEY: Final = "birthmark.asc"
ORIGIN: Final = "Birthmark"

_RELEASES: Final = {"12": "bookworm", "13": "trixie"}
_VERSION: Final = re.compile(r".*\+deb(\d+)")
_KEY_ADVICE: Final = (
    "`gpg --list-secret-keys` lists those that can sign here; `gpg --import FILE` brings one from elsewhere, and `gpg "
    '--quick-generate-key "NAME <MAIL>" ed25519 sign 2y` makes one.'
)


class RepositoryError(Exception):
    """Why there is no new repository, in a sentence for the user."""


def main() -> int:
    parser = argparse.ArgumentParser(prog="make apt-repository", description=__doc__)
    parser.add_argument("--key", default="", help="the releaser's key: fingerprint or user id; KEY= of make")
    parser.add_argument(
        "--valid-days", type=int, help="apt refuses the repository when it is older; VALID_DAYS= of make"
    )
    parser.add_argument("--dist", type=Path, default=DIST, help="where the packages are; %(default)s")
    arguments = parser.parse_args()
    try:
        held = publish(arguments.dist, arguments.key, dt.datetime.now(dt.UTC), arguments.valid_days)
    except RepositoryError as error:
        print(f"apt-repository: {error}", file=sys.stderr)
        return 1
    print(*(f"{distribution}/{name}" for distribution, names in held.items() for name in names), sep="\n")
    print(f"apt-repository: {arguments.dist / NAME} is ready; clients trust {PUBLIC_KEY} in it (docs/apt.md)")
    return 0


def publish(dist: Path, key: str, now: dt.datetime, valid_days: int | None = None) -> dict[str, list[str]]:
    """Make the repository of all packages in `dist`, and put it in place of the former one.

    Returns the names of the packages of each Debian release. Raises RepositoryError.
    """
    if valid_days is not None and valid_days < 1:
        raise RepositoryError("VALID_DAYS is a number of days, 1 or more")
    fingerprint = secret_key(key)
    link = dist / NAME
    if link.exists() and not link.is_symlink():
        raise RepositoryError(f"{link} is not one that this made; move it away")
    with _alone(dist):
        tree = Path(tempfile.mkdtemp(prefix=f".{NAME}-", dir=dist))
        try:
            tree.chmod(0o755)
            held = _sort(sorted(dist.glob("*.deb")), tree)
            (tree / PUBLIC_KEY).write_bytes(
                _gpg("--armor", "--export-options", "export-minimal", "--export", fingerprint)
            )
            until = None if valid_days is None else now + dt.timedelta(days=valid_days)
            for distribution in held:
                _describe(tree / distribution, distribution, now, until)
                _sign(tree / distribution, fingerprint)
            _put_in_place(tree, link)
        except BaseException:
            shutil.rmtree(tree)
            raise
        for former in dist.glob(f".{NAME}-*"):
            if former.is_symlink():
                former.unlink()
            elif former != tree:
                shutil.rmtree(former)
    return held


def secret_key(key: str) -> str:
    """Return the fingerprint of the one key that `key` names, if it can sign here. Raises RepositoryError."""
    if not key.strip():
        raise RepositoryError(f"name the key to sign with: make apt-repository KEY=FINGERPRINT. {_KEY_ADVICE}")
    try:
        told = _gpg("--with-colons", "--list-secret-keys", "--", key).decode(errors="replace")
    except RepositoryError as error:
        raise RepositoryError(f"gpg's keyring has no secret key for {key!r}. {_KEY_ADVICE}") from error
    rows = [line.split(":") for line in told.splitlines()]
    keys = [number for number, row in enumerate(rows) if row[0] == "sec"]
    found = {next(row[9] for row in rows[number:] if row[0] == "fpr"): rows[number] for number in keys}
    if len(found) != 1:
        raise RepositoryError(f"{key!r} names more than one key; name one by its fingerprint: {', '.join(found)}")
    ((fingerprint, row),) = found.items()
    if "S" not in row[11]:  # capital: the key as a whole, with its subkeys
        why = {"e": "has expired (gpg --quick-set-expire)", "r": "was revoked"}.get(row[1], "cannot sign")
        raise RepositoryError(f"the key {fingerprint} {why}. {_KEY_ADVICE}")
    return fingerprint


def release_of(package: Path) -> str:
    """Return the Debian release that a package was built for, which its version tells. Raises RepositoryError."""
    try:
        # All of it is read: a package that is still being copied here is none.
        _run("dpkg-deb", "--contents", package)
        version = _run("dpkg-deb", "--field", package, "Version").decode().strip()
    except RepositoryError as error:
        raise RepositoryError(f"{package.name} is not a whole package: {error}") from error
    told = _VERSION.fullmatch(version)
    if not told or told[1] not in _RELEASES:
        known = ", ".join(f"+deb{number} ({name})" for number, name in _RELEASES.items())
        raise RepositoryError(
            f"{package.name}: the version {version} names no release of Debian, for it ends in none of {known}. "
            "Remove the file; `make packages` builds another"
        )
    return _RELEASES[told[1]]


def _sort(packages: Iterable[Path], tree: Path) -> dict[str, list[str]]:
    """Copy each package into the directory of its release, and return their names."""
    held: dict[str, list[str]] = {}
    for package in packages:
        copy = tree / package.name
        shutil.copyfile(package, copy)
        distribution = release_of(copy)
        (tree / distribution).mkdir(exist_ok=True)
        copy.rename(tree / distribution / package.name)
        held.setdefault(distribution, []).append(package.name)
    if not held:
        raise RepositoryError("there is no package in dist/; `make packages` builds them")
    return held


def _describe(directory: Path, distribution: str, now: dt.datetime, until: dt.datetime | None) -> None:
    """Write what apt reads of a directory of packages: Packages in three forms, and Release."""
    digests = [f"APT::FTPArchive::{name}=false" for name in ("MD5", "SHA1")]
    # A package's path begins where the repository does, not where its index lies.
    packages = _ftparchive(directory.parent, digests, "packages", distribution)
    (directory / "Packages").write_bytes(packages)
    (directory / "Packages.gz").write_bytes(gzip.compress(packages, mtime=0))
    (directory / "Packages.xz").write_bytes(lzma.compress(packages))
    architectures = sorted(set(re.findall(rb"^Architecture: (\S+)$", packages, re.MULTILINE)))
    fields = {
        "Origin": ORIGIN,
        "Label": ORIGIN,
        "Suite": distribution,
        "Codename": distribution,
        "Architectures": b" ".join(architectures).decode(),
        "Date": _date(now),
    }
    if until:
        # It writes the second only where it is given the first, and that it would count from its own present.
        fields |= {"ValidTime": "1", "Valid-Until": _date(until)}
    told = [f"APT::FTPArchive::Release::{name}={value}" for name, value in fields.items()]
    (directory / "Release").write_bytes(_ftparchive(directory, [*digests, *told], "release", "."))


def _sign(directory: Path, fingerprint: str) -> None:
    for form, name in (("--clear-sign", "InRelease"), ("--detach-sign", "Release.gpg")):
        try:
            _gpg(
                "--local-user", fingerprint, "--digest-algo", "SHA512", "--armor", "--output", str(directory / name),
                form, str(directory / "Release"),
            )  # fmt: skip
        except RepositoryError as error:
            raise RepositoryError(
                f"{error}. A passphrase is asked for by gpg's agent, at a terminal or on a desktop; where there is "
                "neither, give it to the agent beforehand: gpg-preset-passphrase --preset KEYGRIP"
            ) from error


def _put_in_place(tree: Path, link: Path) -> None:
    """Let `link` lead to a tree, in one step."""
    new = tree.with_name(f"{tree.name}.link")
    new.symlink_to(tree.name)
    new.replace(link)


@contextmanager
def _alone(directory: Path) -> Iterator[None]:
    """Wait until no other process publishes there: each removes what the others left."""
    if not directory.is_dir():
        raise RepositoryError("there is no dist/; `make packages` fills it")
    opened = os.open(directory, os.O_RDONLY | os.O_CLOEXEC)
    try:
        fcntl.flock(opened, fcntl.LOCK_EX)
        yield
    finally:
        os.close(opened)


def _date(time: dt.datetime) -> str:
    return email.utils.format_datetime(time.astimezone(dt.UTC)).replace("+0000", "UTC")


def _ftparchive(directory: Path, settings: Iterable[str], *command: str) -> bytes:
    options = [option for setting in settings for option in ("-o", setting)]
    return _run("apt-ftparchive", *options, *command, directory=directory)


def _gpg(*arguments: str) -> bytes:
    return _run("gpg", "--batch", "--no-auto-check-trustdb", *arguments)


def _run(*command: str | Path, directory: Path | None = None) -> bytes:
    environment = {**os.environ, "LC_ALL": "C.UTF-8"}
    if sys.stdin.isatty():
        environment["GPG_TTY"] = os.ttyname(sys.stdin.fileno())
    try:
        done = subprocess.run(command, cwd=directory, env=environment, capture_output=True, check=False)
    except OSError as error:
        raise RepositoryError(f"{command[0]} cannot be run: {error.strerror}; `scripts/setup` installs it") from error
    if done.returncode:
        raise RepositoryError(f"{command[0]} said: {done.stderr.decode(errors='replace').strip()[-2000:]}")
    return done.stdout


if __name__ == "__main__":
    sys.exit(main())
