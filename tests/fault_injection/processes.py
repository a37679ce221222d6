"""Faults of whole processes: the real programs, on real ttys, with a TPM simulator each. A seeded sample."""

from __future__ import annotations

import random
import re
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path
from unittest import mock

from tests.fault_injection.simulated_cable import Clock
from tests.fault_injection.sweep import Outcome, Point, Sweep, Verdict
from tests.fault_injection.testbed import Testbed
from tests.fault_injection.unit import Pi
from virtual import pi as virtual_pi
from virtual.cable import End
from virtual.pi import VirtualPi
from virtual.station import VirtualStation, run_station
from virtual.timeouts import TIMEOUT_SECONDS

_STEP_SECONDS = 3
_SESSION_BYTES = 7600
_SESSION_SECONDS = 0.6

Attempt = Callable[[VirtualStation, VirtualPi, int], str]
"""Returns what is wrong, or nothing."""


@contextmanager
def station_at(directory: Path) -> Iterator[VirtualStation]:
    station = VirtualStation(directory / "station", f"{directory}/pi-*/station")
    station.init("--name", "faults")
    settings = station.data_dir / "station.toml"
    settings.write_text(re.sub(r"step_seconds = .*", f"step_seconds = {_STEP_SECONDS}.0", settings.read_text()))
    with station:
        station.start()
        yield station


def attempt(what: Attempt, points: Sequence[Point]) -> Iterable[Verdict]:
    with tempfile.TemporaryDirectory(prefix="birthmark-faults-") as name, station_at(Path(name)) as station:
        verdicts = [_attempt_one(what, station, Path(name), point) for point in points]
        check = run_station("audit", "verify", "--data-dir", str(station.data_dir), check=False)
    if check.returncode:
        return [Verdict(verdict.point, Outcome.LOST, check.stdout + check.stderr) for verdict in verdicts]
    return verdicts


def _attempt_one(what: Attempt, station: VirtualStation, directory: Path, point: Point) -> Verdict:
    pi = VirtualPi(directory / f"pi-{point}", point + 1)
    pi.capture()
    pi.cable.plug()
    try:
        wrong = what(station, pi, point)
    finally:
        pi.cable.unplug()
    testbed, seen = Testbed(station.data_dir, Clock()), Pi(pi.directory, pi.serial)
    if testbed.issued_twice(seen):
        return Verdict(point, Outcome.TWICE)
    if wrong := wrong or "; ".join(testbed.disagreements(seen)):
        return Verdict(point, Outcome.LOST, wrong)
    return Verdict(point, Outcome.RECOVERED)


def start(pi: VirtualPi) -> subprocess.Popen[str]:
    """Start the agent as its service does, and wait until it waits for a station."""
    process = pi.start("--until-provisioned", "--step-seconds", str(_STEP_SECONDS))
    waits = threading.Event()

    def read() -> None:
        assert process.stderr
        with process.stderr:
            for line in process.stderr:
                if "Waiting for a station" in line:
                    waits.set()
        waits.set()

    threading.Thread(target=read, daemon=True).start()
    waits.wait(TIMEOUT_SECONDS)
    return process


def ended(process: subprocess.Popen[str]) -> str:
    """Return what is wrong with the agent's end; it has `TIMEOUT_SECONDS` to end."""
    assert process.stdout
    with process.stdout:
        try:
            status = process.wait(TIMEOUT_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            return f"the agent is not done after {TIMEOUT_SECONDS:g} s"
    return f"the agent ended with {status}" if status else ""


def some_time(point: int) -> float:
    return random.Random(point).uniform(0, _SESSION_SECONDS)


def kill_agent(_station: VirtualStation, pi: VirtualPi, point: int) -> str:
    process = start(pi)
    time.sleep(some_time(point))
    process.kill()
    ended(process)
    return ended(start(pi))


def kill_agent_at_disk(_station: VirtualStation, pi: VirtualPi, point: int) -> str:
    with mock.patch.object(
        virtual_pi, "AGENT", (sys.executable, "-m", "tests.fault_injection.killed_agent", str(point))
    ):
        ended(start(pi))
    return ended(start(pi))


def kill_station(station: VirtualStation, pi: VirtualPi, point: int) -> str:
    process = start(pi)
    time.sleep(some_time(point))
    assert station.process
    station.process.kill()
    station.process.wait()
    station.start()
    return ended(process)


def cut_cable(_station: VirtualStation, pi: VirtualPi, point: int) -> str:
    """Cut the cable after some byte of the session, in either direction, and plug it in again."""
    left, over = [random.Random(point).randrange(_SESSION_BYTES)], threading.Event()

    def spoil(_sender: End, data: bytes) -> bytes:
        kept, left[0] = data[: left[0]], max(left[0] - len(data), 0)
        if len(kept) < len(data):
            over.set()
        return kept

    pi.cable.spoil = spoil
    process = start(pi)
    while not over.wait(0.05) and process.poll() is None:
        pass
    pi.cable.unplug()
    pi.cable.spoil = None
    pi.cable.plug()
    return ended(process)


def flip_bit(_station: VirtualStation, pi: VirtualPi, point: int) -> str:
    """Flip a bit: both programs must recover without plugging in again."""
    at = [random.Random(point).randrange(_SESSION_BYTES)]

    def spoil(_sender: End, data: bytes) -> bytes:
        if 0 <= at[0] < len(data):
            data = data[: at[0]] + bytes([data[at[0]] ^ 1 << point % 8]) + data[at[0] + 1 :]
        at[0] -= len(data)
        return data

    pi.cable.spoil = spoil
    return ended(start(pi))


def lock_registry(station: VirtualStation, pi: VirtualPi, point: int) -> str:
    """Lock the registry for three seconds, as `sqlite3 registry.sqlite` or a foreign backup does."""
    process = start(pi)
    time.sleep(some_time(point))
    with closing(sqlite3.connect(station.data_dir / "registry.sqlite", isolation_level=None)) as backup:
        backup.execute("BEGIN EXCLUSIVE")
        time.sleep(3)
        backup.execute("COMMIT")
    return ended(process)


CLOCKS = (0, 2**31 - 5, 2**32 - 5, None)
"""The time at which a clock begins, in seconds since 1970; None for one that jumps by 68 years at each reading."""


def wrong_clock(_station: VirtualStation, pi: VirtualPi, point: int) -> str:
    """Give the agent's process, and its TPM's, a clock in another year, or in two by turns."""
    begin = CLOCKS[point % len(CLOCKS)]
    library = pi.directory / "wrong_clock.so"
    subprocess.run(["cc", "-shared", "-fPIC", "-o", library, Path(__file__).with_name("wrong_clock.c")], check=True)
    settings = [f"LD_PRELOAD={library}", f"WRONG_CLOCK={begin or 0}"]
    if begin is None:
        settings.append("WRONG_CLOCK_JUMPS=1")
    year = subprocess.run(["env", *settings, "date", "+%Y"], capture_output=True, text=True, check=True).stdout
    assert int(year) in (1970, 2038, 2106), "the clock is not wrong"
    with mock.patch.object(virtual_pi, "AGENT", ("env", *settings, *virtual_pi.AGENT)):
        return ended(start(pi))


def _sweep(fault: str, what: Attempt, points: int, sample: int) -> Sweep:
    return Sweep(fault, lambda: range(points), partial(attempt, what), sample=sample, batch=6)


SWEEPS = (
    _sweep("processes: agent killed at a random time", kill_agent, 18, 2),
    _sweep("processes: agent killed at a disk operation", kill_agent_at_disk, 24, 1),
    _sweep("processes: station killed at a random time", kill_station, 18, 2),
    _sweep("processes: cable cut on a tty, plugged in again", cut_cable, 18, 1),
    _sweep("processes: bit flipped on a tty, nobody helps", flip_bit, 18, 1),
    _sweep("processes: registry locked for 3 s", lock_registry, 6, 1),
    _sweep("processes: agent in 1970, 2038, 2106, or jumping", wrong_clock, 8, 1),
)
