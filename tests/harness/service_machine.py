"""A machine with the packages' users and an empty /var/lib, in its own mount namespace, which leaves nothing behind."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import Final

import pytest

CHECKOUT: Final = Path(__file__).resolve().parents[2]
DATA_DIR: Final = Path("/var/lib/birthmark-station/data")
UID: Final = 54321
USER: Final = "birthmark-station"
AGENT_STATE: Final = Path("/var/lib/birthmark-agent")
AGENT_UID: Final = 54322
AGENT_USER: Final = "birthmark-agent"

needs_root = pytest.mark.skipif(
    os.geteuid() != 0
    or shutil.which("nsenter") is None
    or not (CHECKOUT / "pyproject.toml").stat().st_mode & stat.S_IROTH,
    reason="only root can be another user, and only in a checkout that others can read",
)

_SETTLE: Final = """
set -e
share() {  # path: others can reach it, through whatever private directory it lies in
    shut=/
    rest=${1#/}
    while [ -n "$rest" ]; do
        shut=${shut%/}/${rest%%/*}
        case $rest in */*) rest=${rest#*/} ;; *) rest= ;; esac
        if [ -z "$(find "$shut" -maxdepth 0 -perm -o=rx)" ]; then
            kept="$WORK/kept$(echo "$1" | tr / _)"
            mkdir -p "$kept"
            mount --bind "$1" "$kept"
            mount -t tmpfs -o mode=755 none "$shut"
            mkdir -p "$1"
            mount --bind "$kept" "$1"
            return
        fi
    done
}
mount -t tmpfs -o mode=755 none /var/lib
mount --bind "$WORK/passwd" /etc/passwd
mount --bind "$WORK/group" /etc/group
mkdir -p /run/systemd
mount -t tmpfs -o mode=755 none /run/systemd
for path in "$BASE" "$PREFIX" "$CHECKOUT"; do share "$path"; done
echo settled
exec sleep infinity
"""


class ServiceMachine:
    """Runs both programs with their services' real directories. Only root can read `root`."""

    def __init__(self, work: Path) -> None:
        self.root: Final = work / "root"
        self._work = work
        self._holder: subprocess.Popen[str] | None = None

    def __enter__(self) -> ServiceMachine:
        self.root.mkdir(mode=0o700)
        users = ((USER, UID), (AGENT_USER, AGENT_UID))
        for name, line in (("passwd", "{0}:x:{1}:{1}::/:/usr/sbin/nologin"), ("group", "{0}:x:{1}:")):
            path = self._work / name
            lines = "".join(f"{line.format(*user)}\n" for user in users)
            path.write_text(f"{Path('/etc', name).read_text().rstrip()}\n{lines}")
            path.chmod(0o644)
        paths = {"WORK": self._work, "BASE": sys.base_prefix, "PREFIX": sys.prefix, "CHECKOUT": CHECKOUT}
        self._holder = subprocess.Popen(
            ["unshare", "--mount", "bash", "-c", _SETTLE],
            env={**os.environ, **{name: str(value) for name, value in paths.items()}},
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._holder.stdout is not None
        assert self._holder.stdout.readline() == "settled\n"
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._holder is not None
        self._holder.kill()
        self._holder.communicate()

    def inside(self, *command: str) -> list[str]:
        """Return the command line that runs `command` in this machine, as root."""
        assert self._holder is not None
        return ["nsenter", "--mount", f"--target={self._holder.pid}", f"--wd={CHECKOUT}", "--", *command]

    def run(self, *command: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run a command to its end, without a terminal."""
        return subprocess.run(
            self.inside(*command),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
            env={**os.environ, **environment},
        )

    def station(self, *arguments: str, user: str = "") -> subprocess.CompletedProcess[str]:
        """Run `birthmark-station …` as root, or as another `user`."""
        become = ("setpriv", f"--reuid={user}", "--regid=65534", "--clear-groups") if user else ()
        return self.run(*become, sys.executable, "-m", "station", *arguments)

    def agent(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run `birthmark-agent …` as root."""
        return self.run(sys.executable, "-m", "device_agent", *arguments)

    def shell(self, script: str, uid: int) -> None:
        """Run a script that must succeed as the user with this number, of no group but its own."""
        done = self.run("setpriv", f"--reuid={uid}", f"--regid={uid}", "--clear-groups", "sh", "-euc", script)
        assert done.returncode == 0, done.stderr

    def good(self, *arguments: str) -> str:
        """Run a command that must succeed, and return what it prints."""
        done = self.station(*arguments)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def owners(self) -> set[str]:
        """Return owner and mode of the files in the service's home: `USER MODE`."""
        listed = self.run("find", str(DATA_DIR.parent), "-printf", "%u %m\\n")
        assert listed.returncode == 0, listed.stderr
        return set(listed.stdout.splitlines())
