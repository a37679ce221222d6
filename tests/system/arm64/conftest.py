"""The virtual Pi of arm64, and its station, which is a program on this machine at the other end of the cable."""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Final

import pytest

from tests.system.board import ARM64 as BOARD
from tests.system.board import Board
from tests.system.guest import Guest
from tests.system.image import ARM64, NUC_MAP, ROOT, SENSOR, SERIAL, Debian, built, inside, run
from virtual.station import VirtualStation

RELAYS: Final = ROOT / "tests/system/relays"
PROGRAM: Final = ROOT / ".venv/bin/birthmark-agent"
_CABLE_SECONDS: Final = 60.0

UNIT: Final = """[Unit]
Description=Joins {what} to a port
DefaultDependencies=no
After=systemd-udevd.service systemd-remount-fs.service
[Service]
ExecStartPre=-/sbin/modprobe -a virtio_console tpm_vtpm_proxy
ExecStartPre=/bin/sh -c 'until test -c /dev/virtio-ports/{port}; do sleep 0.2; done'
ExecStart=/usr/bin/python3 /usr/lib/{what}_relay.py {before}/dev/virtio-ports/{port}
[Install]
WantedBy=sysinit.target
"""


@pytest.fixture(scope="package")
def machine() -> tuple[Board, Debian]:
    return BOARD, ARM64


@pytest.fixture(scope="module")
def fill() -> Callable[[Path, Path], None]:
    """Install the agent's package, a NUC map, and what joins TPM and cable to the outside."""

    def install(root: Path, _roots: Path) -> None:
        here = partial(inside, root)
        package = built("arm64")["agent"]
        shutil.copy(package, root / "root")
        here("dpkg", "-i", f"/root/{package.name}")
        (root / "etc/default/birthmark-agent").write_text(f"BIRTHMARK_SERIAL={SERIAL}\n")
        run(PROGRAM, "nuc", "simulate", "--seed", SENSOR, "--output", root / "root/nuc.map")
        here("install", "-m", "0600", "-o", "birthmark-agent", "-g", "birthmark-agent", "/root/nuc.map", NUC_MAP)
        for what, port, before in (("tpm", "tpm", ""), ("cable", "cable", "/dev/ttyACM0 ")):
            shutil.copy(RELAYS / f"{what}_relay.py", root / "usr/lib")
            unit = f"{what}-relay.service"
            (root / "etc/systemd/system" / unit).write_text(UNIT.format(what=what, port=port, before=before))
            here("systemctl", "enable", unit)

    return install


class Bench:
    """A station, and the cable to the Pi; the cable is plugged in while it is open."""

    def __init__(self, pi: Guest, work: Path) -> None:
        self._cable = work / "cable"
        self._socket = pi.port("cable")
        self._joined: subprocess.Popen[bytes] | None = None
        self.station: Final = VirtualStation(work / "station", str(self._cable))
        self.station.init("--ek-policy", "require", "--ek-roots", str(work / "roots"))

    def open(self) -> None:
        self._joined = subprocess.Popen(["socat", f"PTY,link={self._cable},rawer", f"UNIX-CONNECT:{self._socket}"])
        deadline = time.monotonic() + _CABLE_SECONDS
        while not self._cable.exists():
            assert self._joined.poll() is None, "socat did not join the cable"
            assert time.monotonic() < deadline
            time.sleep(0.05)
        self.station.start()

    def close(self) -> None:
        self.station.stop()
        if self._joined:
            self._joined.kill()
            self._joined.wait()
            self._joined = None


@pytest.fixture(scope="module")
def bench(pi: Guest, work: Path) -> Iterator[Bench]:
    bench = Bench(pi, work)
    try:
        yield bench
    finally:
        bench.close()
