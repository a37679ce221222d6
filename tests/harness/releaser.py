"""Who releases: keys in a keyring of their own, the repositories that they sign, and what docs/apt.md tells clients."""

from __future__ import annotations

import datetime as dt
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from unittest.mock import patch

from scripts import apt_repository
from tests.harness.checkout import ROOT

APT_PAGE = ROOT / "docs" / "apt.md"


class Releaser:
    """A keyring. The agent that gpg starts for it ends with `close`."""

    def __init__(self) -> None:
        self.home = Path(tempfile.mkdtemp(prefix="gpg-"))  # short: its agent's socket lies in it

    def close(self) -> None:
        subprocess.run(["gpgconf", "--homedir", self.home, "--kill", "all"], check=True)
        shutil.rmtree(self.home)

    def make_key(self, user_id: str, *, expires: str = "never", passphrase: str = "") -> str:
        """Make a key that signs, and return its fingerprint."""
        told = subprocess.run(
            ["gpg", "--homedir", self.home, "--batch", "--status-fd", "1", "--pinentry-mode", "loopback",
             "--passphrase-fd", "0", "--quick-generate-key", user_id, "ed25519", "sign", expires],
            input=passphrase, capture_output=True, text=True, check=True,
        ).stdout  # fmt: skip
        return next(line.split()[-1] for line in told.splitlines() if "KEY_CREATED" in line)

    def publish(
        self, dist: Path, key: str, now: dt.datetime | None = None, valid_days: int | None = None
    ) -> dict[str, list[str]]:
        with patch.dict(os.environ, GNUPGHOME=str(self.home)):
            return apt_repository.publish(dist, key, now or dt.datetime.now(dt.UTC), valid_days)


def source_for_apt(address: str, distribution: str) -> str:
    """Return the file for apt that the page shows, for the repository at an address."""
    (told,) = re.findall(r"^```text\n(Types: .*?)^```$", APT_PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    return str(told).replace("https://packages.example.org", address).replace("bookworm", distribution)


@contextmanager
def releaser() -> Iterator[Releaser]:
    made = Releaser()
    try:
        yield made
    finally:
        made.close()
