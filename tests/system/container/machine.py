"""A machine of the test's own to run containers: namespaces with mounts, processes and a network that end with it.

Docker's bridge is a veth pair whose other end is in a namespace `aggregator`. No real network is there. Podman stores
all in a directory of the test's. Nothing that is mounted in it is seen outside; /dev/shm is its own, too, where podman
has its locks.
"""

from __future__ import annotations

import os
import resource
import shlex
import subprocess
import time
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from scripts.chroot import ROOT, remove

BRIDGE: Final = "172.17.0.1"
AGGREGATOR: Final = "172.17.0.2"
STRANGER: Final = "192.168.7.2"

_PREPARE: Final = f"""
set -e
mount -t tmpfs tmpfs /dev/shm
mount -t tmpfs tmpfs /run
mount -t tmpfs tmpfs /media
mount --bind "$1/hosts" /etc/hosts
install -d -m 700 -o 8001 -g 8001 /media/safe
# crun knows version 1 of control groups and version 2, and no machine that has both.
! mountpoint -q /sys/fs/cgroup/unified || umount /sys/fs/cgroup/unified
ip link set lo up
ip netns add aggregator
ip link add docker0 type veth peer name eth0 netns aggregator
ip address add {BRIDGE}/16 dev docker0
ip address add 192.168.7.1/24 dev docker0
ip link set docker0 up
ip -n aggregator address add {AGGREGATOR}/16 dev eth0
ip -n aggregator address add {STRANGER}/24 dev eth0
ip -n aggregator link set lo up
ip -n aggregator link set eth0 up
echo ready
while :; do sleep 3600 & wait; done
"""
_STORAGE: Final = """[storage]
driver = "overlay"
graphroot = "{work}/storage"
runroot = "/run/storage"
"""
_ENGINE: Final = """[containers]
cgroups = "disabled"
default_ulimits = ["nofile={files}:{files}", "nproc={processes}:{processes}"]
[engine]
cgroup_manager = "cgroupfs"
events_logger = "file"
"""
"""As far as a machine goes that lets nobody set limits."""

_PROGRAMS: Final = {
    "sudo": 'exec "$@"',
    "systemd-ask-password": "echo correct horse battery staple",
}
"""What a person has who types the guide's commands."""


class Machine:
    def __init__(self, work: Path) -> None:
        self._work = work
        files = min(4096, resource.getrlimit(resource.RLIMIT_NOFILE)[1])
        (work / "storage.conf").write_text(_STORAGE.format(work=work))
        (work / "containers.conf").write_text(_ENGINE.format(files=files, processes=4096))
        (work / "hosts").write_text(f"127.0.0.1 localhost\n{BRIDGE} host.docker.internal\n")
        (work / "bin").mkdir()
        for name, text in _PROGRAMS.items():
            (work / "bin" / name).write_text(f"#!/bin/sh\n{text}\n")
            (work / "bin" / name).chmod(0o755)

    def __enter__(self) -> Self:
        apart = ("--mount", "--net", "--pid", "--fork", "--kill-child", "--propagation=private", "--mount-proc")
        self._unshare = subprocess.Popen(
            ["unshare", *apart, "bash", "-c", _PREPARE, "bash", self._work], stdout=subprocess.PIPE, text=True
        )
        assert self._unshare.stdout
        assert self._unshare.stdout.readline() == "ready\n", "the machine's networks were not made"
        first = self._unshare.pid
        self._init = int(Path(f"/proc/{first}/task/{first}/children").read_text())
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._unshare.kill()  # and with it the machine's first process, all others, and so its mounts
        self._unshare.communicate(timeout=60)
        deadline = time.monotonic() + 60
        while Path(f"/proc/{self._init}").exists():
            assert time.monotonic() < deadline, "the machine does not end"
            time.sleep(0.05)
        remove(self._work / "storage")

    def good(self, command: str, seconds: float = 180) -> str:
        """Run a command in the checkout, as root of the machine. It must succeed; returns what it prints."""
        environment = {
            **os.environ,
            "PATH": f"{self._work}/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            "CONTAINERS_CONF": f"{self._work}/containers.conf",
            "CONTAINERS_STORAGE_CONF": f"{self._work}/storage.conf",
        }
        done = subprocess.run(
            ["nsenter", f"--target={self._init}", "--mount", "--net", "--pid", "bash", "-c",
             f"cd {shlex.quote(str(ROOT))}\n{command}"],
            env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=seconds, check=False,
        )  # fmt: skip
        assert done.returncode == 0, f"{command}\nended with {done.returncode}:\n{done.stdout}{done.stderr}"
        return done.stdout
