"""`make soak`: many virtual units through one station process, whose memory, files and time must not grow.

Station and ttys are real. The units are the real agent, a few at a time in this process, each with its own board,
sensor and TPM; the TPM is software (`tests.fault_injection.soft_tpm`) with an EK certificate as swtpm's, because two
thousand swtpm processes would distort the figures. Exit status 1 if something grows.
"""

from __future__ import annotations

import argparse
import os
import sqlite3
import statistics
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Final

from device_agent.session import service
from device_agent.session.agent import Agent, Options
from device_agent.session.service import Timeouts
from device_agent.storage.state_dir import prepare_state_dir
from device_agent.tpm.tpm import PublicAreas
from tests.fault_injection.soft_tpm import SoftTpm, SoftTpmSource
from tests.fault_injection.testbed import fast_directory
from tests.harness.vendor_lab import SWTPM, Vendor, one_rdn_each
from virtual.cable import Cable, End
from virtual.station import VirtualStation, run_station
from virtual.timeouts import GREETING_SECONDS

ROUNDS: Final = 10
"""The number of rounds. After each all cables are unplugged and the station is measured."""

EDGE: Final = 3
"""The number of rounds whose times are averaged at the start and at the end; one alone varies with the machine's
load."""

PORTS: Final = 8
SETTLE_SECONDS: Final = 1.5
"""The time in which the station sees that ports are gone: it looks once a second without udev."""

RSS_RATIO: Final = 1.15
"""The largest ratio of the memory after the last round to that after the first. The registry holds units, not
memory."""

DESCRIPTORS: Final = 4
"""The most files open after the last round beyond those after the first: the registry's connections come and go."""

CPU_RATIO: Final = 1.5
"""The largest ratio of the station's processor time for a unit at the end to that at the start. The time by the clock
is only printed, because other programs lengthen it."""

_VENDOR: Final = Vendor("swtpm-localca")


class Chip(SoftTpm):
    """A software TPM whose certificate says so, as swtpm's does."""

    @cached_property
    def _publics(self) -> PublicAreas:
        keys = self._keys
        certificate = _VENDOR.ek(keys.ek.private.public_key(), tpm=one_rdn_each(SWTPM))
        return PublicAreas(certificate, keys.ek.public, keys.ak.public, keys.srk.public, keys.device.public)


class _Source(SoftTpmSource):
    def __init__(self) -> None:
        self.tpm = Chip()


@dataclass(frozen=True)
class Measured:
    """The station after a round."""

    units: int
    seconds: float
    rss_mib: float
    descriptors: int
    threads: int
    unit_ms: float
    """Median over the round's units, from first message to receipt."""
    cpu_ms: float
    """The station's processor time in this round, for each unit."""


def provision(directory: Path, port: int, number: int) -> None:
    """Provision one unit, from plugging in to unplugging. Raises BirthmarkError."""
    with tempfile.TemporaryDirectory(dir=directory) as home:
        state, nuc_map = Path(home) / "state", Path(home) / "nuc-map"
        nuc_map.write_bytes(number.to_bytes(8, "big") * 8)
        prepare_state_dir(state)
        source = _Source()
        agent = Agent(Options(state, source.name, nuc_map, False, f"10000000{number:08x}", None), source)  # type: ignore[arg-type]
        with Cable(directory / f"port-{port}") as cable:
            service.serve_once(cable.paths[End.PI], agent, lambda *_: None, Timeouts(GREETING_SECONDS))


class Soak:
    """A station, and rounds of units."""

    def __init__(self, station: VirtualStation, directory: Path) -> None:
        self._station = station
        self._directory = directory
        self._units = 0
        assert station.process is not None
        self._proc = Path(f"/proc/{station.process.pid}")

    def _cpu_seconds(self) -> float:
        user, system = (self._proc / "stat").read_text().rpartition(")")[2].split()[11:13]
        return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")

    def round(self, count: int) -> Measured:
        begun, cpu = time.monotonic(), self._cpu_seconds()
        numbers = list(range(self._units + 1, self._units + count + 1))
        lock = threading.Lock()

        def work(port: int) -> None:
            while True:
                with lock:
                    if not numbers:
                        return
                    number = numbers.pop(0)
                provision(self._directory, port, number)

        with ThreadPoolExecutor(PORTS) as pool:
            list(pool.map(work, range(PORTS)))
        self._units += count
        seconds = time.monotonic() - begun
        cpu = self._cpu_seconds() - cpu
        time.sleep(SETTLE_SECONDS)
        status = dict(line.split(":", 1) for line in (self._proc / "status").read_text().splitlines())
        return Measured(
            self._units,
            seconds,
            int(status["VmRSS"].split()[0]) / 1024,
            len(list((self._proc / "fd").iterdir())),
            int(status["Threads"]),
            self._median(count),
            1000 * cpu / count,
        )

    def _median(self, count: int) -> float:
        registry = sqlite3.connect(self._station.data_dir / "registry.sqlite")
        rows = registry.execute(
            "SELECT duration_ms FROM units WHERE state = 'provisioned' ORDER BY id DESC LIMIT ?", (count,)
        ).fetchall()
        registry.close()
        assert len(rows) == count, f"{len(rows)} of {count} are provisioned"
        return float(statistics.median(row[0] for row in rows))


def grown(rounds: list[Measured]) -> list[str]:
    """Return what has grown."""
    first, last = rounds[0], rounds[-1]
    found = []
    if last.rss_mib > RSS_RATIO * first.rss_mib:
        found.append(f"memory is {last.rss_mib / first.rss_mib:.2f} times what it was, more than {RSS_RATIO}")
    if last.descriptors > first.descriptors + DESCRIPTORS:
        found.append(f"{last.descriptors - first.descriptors} files are left open")
    times = [measured.cpu_ms for measured in rounds]
    ratio = statistics.mean(times[-EDGE:]) / statistics.mean(times[:EDGE])
    if ratio > CPU_RATIO:
        found.append(f"a unit takes {ratio:.2f} times the processor time it did, more than {CPU_RATIO}")
    return found


def main() -> int:
    parser = argparse.ArgumentParser(prog="make soak", description=__doc__)
    parser.add_argument("--units", type=int, default=2000)
    units = max(parser.parse_args().units, ROUNDS)
    with tempfile.TemporaryDirectory(prefix="birthmark-soak-", dir=fast_directory()) as name:
        directory = Path(name)
        for port in range(PORTS):
            (directory / f"port-{port}").mkdir()
        with VirtualStation(directory / "station", f"{directory}/port-*/station") as station:
            station.init("--tables", "250")
            station.start()
            soak = Soak(station, directory)
            print(
                f"{'units':>8}{'units/s':>10}{'RSS MiB':>10}{'files':>8}{'threads':>9}{'ms a unit':>12}{'of CPU':>10}"
            )
            rounds = []
            for number in range(ROUNDS):
                count = units * (number + 1) // ROUNDS - units * number // ROUNDS
                now = soak.round(count)
                rounds.append(now)
                print(
                    f"{now.units:>8}{count / now.seconds:>10.1f}{now.rss_mib:>10.1f}{now.descriptors:>8}"
                    f"{now.threads:>9}{now.unit_ms:>12.1f}{now.cpu_ms:>10.1f}",
                    flush=True,
                )
            station.stop()
            audit = run_station("audit", "verify", "--data-dir", str(station.data_dir), check=False)
    print(audit.stdout.partition(" Note:")[0].strip() or audit.stderr.strip())
    problems = grown(rounds) + (["the audit log is not whole"] if audit.returncode else [])
    for problem in problems:
        print(f"soak: {problem}")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
