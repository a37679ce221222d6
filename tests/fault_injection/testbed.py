"""A real station and a real agent in one process, on a simulated cable and clock, and what both must agree on.

The conversations, the provisioner, the registry and the identity store are the product's own; the cable and the clock
(`tests.fault_injection.simulated_cable`) and the TPM (`tests.fault_injection.soft_tpm`) are not.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import sqlite3
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager, closing, contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar
from unittest import mock

from cryptography.hazmat.primitives.serialization import Encoding
from greenlet import GreenletExit, greenlet

from device_agent.session import conversation as agent_conversation
from device_agent.session import service
from device_agent.session.service import Timeouts
from runtime.clock import unix_time
from shared.errors import BirthmarkError
from station.config import EkPolicy, SessionConfig, StationConfig, TablesConfig
from station.ports import conversation as station_conversation
from station.ports.conversation import Conversation
from station.registry import audit_check, revocation
from station.registry.database import Database
from station.registry.records import Unit
from station.services import Services
from station.setup.init import init_data_dir
from station.setup.open import open_station
from tests.fault_injection.simulated_cable import STEP_SECONDS, Cable, Clock, Fault, Loop, PiLink, StationLine
from tests.fault_injection.unit import Ended, Pi
from tests.harness.bare_station import with_other

Result = TypeVar("Result")


class Testbed:
    """An open station, and the clock."""

    def __init__(self, data_dir: Path, clock: Clock) -> None:
        self.data_dir = data_dir
        self.clock = clock
        self.config = SessionConfig(hello_seconds=1.0, step_seconds=STEP_SECONDS)
        self.units = 0
        self.registry = data_dir / "registry.sqlite"
        self.links: dict[Path, PiLink] = {}
        self.elsewhere = data_dir.parent
        """Where the Pis' directories are."""

    def new_pi(self, **parts: Any) -> Pi:
        self.units += 1
        pi = Pi(self.elsewhere / f"pi-{self.units}", f"10000000{self.units:08x}", **parts)
        pi.capture()
        return pi

    def conversation(self, station: Services, line: StationLine) -> Coroutine[Any, Any, Unit]:
        return Conversation(line, "port", station.provisioner, station.bus, self.config).run()

    def open_link(self, path: Path) -> PiLink:
        """Return the agent's end of the cable."""
        return self.links[path]

    async def plug(
        self,
        station: Services,
        pi: Pi,
        fault: Fault | None = None,
        step_seconds: float = STEP_SECONDS,
        around: Callable[[Coroutine[Any, Any, Unit], StationLine], Awaitable[Unit]] | None = None,
    ) -> Ended:
        """Plug the unit in until both ends have ended or nothing more can happen.

        `around` wraps the station's conversation, for a test that stops it somewhere.
        """
        cable = Cable(self.clock, fault or Fault())
        ended = Ended()
        begun = self.clock.now

        def power_on() -> None:
            try:
                ended.pi = pi.run(Timeouts(None, step_seconds))
            except GreenletExit:
                raise
            except BaseException as error:  # noqa: BLE001 - looked at by whoever plugged it in; some tests kill it
                ended.pi = error
            cable.give_up_later()

        agent = greenlet(power_on)
        running = [False]

        def wake() -> None:
            if agent.dead or running[0]:
                return
            running[0] = True
            agent.switch()
            running[0] = False

        cable.wake_agent = wake
        hub = greenlet.getcurrent()

        agent.parent = hub
        self.links[pi.directory / "pi"] = PiLink(cable, hub)
        wake()  # it waits in its first read, or has failed before it
        line = StationLine(cable)
        try:
            talk = self.conversation(station, line)
            ended.station = await (around(talk, line) if around else talk)
        except Exception as error:  # noqa: BLE001
            ended.station = error
        cable.give_up_later()
        while not agent.dead and not cable.pulled:
            cable.pass_time()
        cable.pulled = True
        wake()
        assert agent.dead
        pi.let_out |= cable.certificates()
        ended.writes = cable.told
        ended.seconds = self.clock.now - begun
        return ended

    def disagreements(self, pi: Pi) -> list[str]:
        """Return what is wrong after a unit is provisioned, read without the code under test."""
        found: list[str] = []
        identity = pi.identity()
        if identity is None:
            return ["the Pi has no identity"]
        leaf = identity.chain[0].public_bytes(Encoding.DER)
        with reader(self.registry) as database:
            rows = database.execute("SELECT id, state FROM units WHERE serial = ?", (pi.serial,)).fetchall()
            certificates = database.execute(
                "SELECT certificates.state, der FROM certificates JOIN units ON units.id = unit_id "
                "WHERE units.serial = ?",
                (pi.serial,),
            ).fetchall()
            tables = tuple(
                row[0]
                for row in database.execute(
                    "SELECT table_id FROM assignments WHERE unit_id = ? ORDER BY table_id", (rows[0][0] if rows else 0,)
                )
            )
            events = [row[0] for row in database.execute("SELECT event FROM audit WHERE serial = ?", (pi.serial,))]
        if [row[1] for row in rows] != ["provisioned"]:
            found.append(f"the registry has {[row[1] for row in rows]}")
        elif [row[0] for row in certificates] != ["active"]:
            found.append(f"the registry has certificates {[row[0] for row in certificates]}")
        elif certificates[0][1] != leaf:
            found.append("registry and Pi have different certificates")
        if tables != tuple(sorted(identity.about.table_ids)):
            found.append("registry and Pi have different tables")
        found += [
            f"the audit log has {events.count(event)} rows of {event}"
            for event in ("issued", "provisioned")
            if events.count(event) != 1
        ]
        if pi.let_out - {leaf}:
            found.append("another certificate than the unit's has left the station")
        if not identity.provisioned:
            found.append("the Pi does not know that it is provisioned")
        held = [path.name for path in pi.state_dir.glob(".identity*")]
        if held != [identity.path.name]:
            found.append(f"the Pi holds {held}")
        if pi.nuc_map.exists():
            found.append("the clear NUC map is left")
        return found

    async def release(self, station: Services, pi: Pi) -> None:
        """Release the unit, if it is in the registry, as an operator would."""
        async with station.database.write() as connection:
            with suppress(BirthmarkError):
                await revocation.release(connection, pi.serial, "test", unix_time())

    def issued_twice(self, pi: Pi) -> bool:
        with reader(self.registry) as database:
            query = "SELECT count(*) FROM audit WHERE serial = ? AND event = 'issued'"
            (rows,) = database.execute(query, (pi.serial,)).fetchone()
        return rows > 1 or len(pi.let_out) > 1

    async def audit_problems(self, station: Services) -> list[str]:
        async with station.database.read() as connection:
            return [problem.sentence for problem in (await audit_check.verify(connection)).problems]


@contextmanager
def reader(registry: Path) -> Iterator[sqlite3.Connection]:
    connection = sqlite3.connect(f"file:{registry}?mode=ro", uri=True)
    try:
        yield connection
    finally:
        connection.close()


_template: tempfile.TemporaryDirectory[str] | None = None


def fast_directory() -> str | None:
    """Return a directory in memory if possible: thousands of transactions are synced, and none has to last."""
    return "/dev/shm" if os.access("/dev/shm", os.W_OK) else None


def _blank_data_dir() -> Path:
    global _template
    if _template is None:
        _template = tempfile.TemporaryDirectory(prefix="birthmark-faults-", dir=fast_directory())
        config = StationConfig(name="bench", tables=TablesConfig(count=5))
        path = Path(_template.name) / "station"
        init_data_dir(path, config, force=False, root_passphrase="for tests", ek_roots=None)
    return Path(_template.name) / "station"


@contextmanager
def new_testbed() -> Iterator[Testbed]:
    """Make a testbed with a new station; both ends' monotonic clocks are the testbed's."""
    blank = _blank_data_dir()
    clock = Clock()
    with (
        tempfile.TemporaryDirectory(prefix="birthmark-faults-", dir=fast_directory()) as directory,
        mock.patch.object(agent_conversation, "time", clock),
        mock.patch.object(station_conversation, "time", clock),
    ):
        data_dir = Path(directory) / "station"
        shutil.copytree(blank, data_dir)
        testbed = Testbed(data_dir, clock)
        with mock.patch.object(service, "Link", testbed.open_link):
            yield testbed


@asynccontextmanager
async def station_of(testbed: Testbed) -> AsyncIterator[Services]:
    """Start the station of this testbed."""
    async with open_station(testbed.data_dir, EkPolicy.RECORD) as station:
        yield station


@asynccontextmanager
async def station_with(station: Services, testbed: Testbed, registry: Path) -> AsyncIterator[Services]:
    """Open the same station with an earlier copy of the registry, which the testbed reads meanwhile."""
    database, present = Database(f"sqlite:{registry}", station.config.name), testbed.registry
    testbed.registry = registry
    try:
        yield with_other(station, database=database)
    finally:
        testbed.registry = present
        await database.close()


def snapshot(registry: Path, copy: Path) -> None:
    """Copy the registry as it is now to another name."""
    with reader(registry) as source, closing(sqlite3.connect(copy)) as target:
        source.backup(target)


def run(testbed: Testbed, work: Coroutine[Any, Any, Result]) -> Result:
    """Run a coroutine on an event loop that uses the testbed's clock."""
    with asyncio.Runner(loop_factory=lambda: Loop(testbed.clock)) as runner:
        return runner.run(work)
