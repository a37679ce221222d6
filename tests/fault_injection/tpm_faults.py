"""Faults of the TPM, a real swtpm: each command of a session fails in each way, once or from then on."""

from __future__ import annotations

import tempfile
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import TypeVar
from unittest import mock

from tpm2_pytss import TSS2_Exception

from device_agent.tpm import Simulator, Tpm, connection
from device_agent.tpm.connection import Connection
from shared.errors import BirthmarkError
from station.services import Services
from tests.fault_injection.sweep import Outcome, Point, Sweep, Verdict, audited, judged
from tests.fault_injection.testbed import Testbed, new_testbed, run, station_of
from tests.fault_injection.unit import Pi
from virtual.timeouts import TIMEOUT_SECONDS

Result = TypeVar("Result")

ANSWERS = {
    "retry": 0x922,
    "NV rate": 0x920,
    "testing": 0x90A,
    "out of objects": 0x902,
    "out of sessions": 0x903,
    "lockout": 0x921,
    "gone": 0xA000A,
}
"""TPM 2.0 Part 2, 6.6.3; the last one is the TCTI's own "I/O failure"."""

HUNG = "hung"
LATE = "gone after the command"
"""The command was carried out, but its answer was lost."""

TOLD = {
    "retry": "tpm.not-ready",
    "NV rate": "tpm.not-ready",
    "testing": "tpm.not-ready",
    "out of objects": "tpm.busy",
    "out of sessions": "tpm.busy",
    "lockout": "tpm.lockout",
    "gone": "tpm.gone",
    LATE: "tpm.gone",
    HUNG: "tpm.hung",
}
"""The error code of each lasting failure."""

OPENING = ("gone", HUNG)

PASSING = ("retry", "NV rate", "testing", "out of objects", "out of sessions", "lockout")
"""Failures that are over by the next try: the session must succeed."""

_HUNG_SECONDS = 0.15


class _Time:
    """The clock for repeated commands: it advances only while the connection pauses."""

    def __init__(self) -> None:
        self._now = 0.0

    def monotonic(self) -> float:
        return self._now

    def sleep(self, seconds: float) -> None:
        self._now += seconds


class Plan:
    """Which command fails, how, and whether all after it do, too."""

    def __init__(self, number: int, kind: str, *, for_good: bool) -> None:
        self.number, self.kind, self.for_good = number, kind, for_good
        self.commands = 0
        self.over = False

    def strikes(self) -> bool:
        number, self.commands = self.commands, self.commands + 1
        return not self.over and (number == self.number or (self.for_good and number > self.number))


class FaultyConnection(Connection):
    """A connection to a real TPM in which single commands fail."""

    def __init__(self, tcti: str, plan: Plan) -> None:
        self._plan = plan
        super().__init__(tcti)

    def _within(self, command: Callable[[], Result]) -> Result:
        if not self._plan.strikes():
            return super()._within(command)
        kind = self._plan.kind
        if kind == HUNG:
            self._seconds = _HUNG_SECONDS
            given_up = threading.Event()
            try:
                return super()._within(lambda: given_up.wait(TIMEOUT_SECONDS))  # type: ignore[return-value]
            finally:
                given_up.set()
        if kind == LATE:
            super()._within(command)
            raise TSS2_Exception(ANSWERS["gone"])
        raise TSS2_Exception(ANSWERS[kind])


class Source:
    """Replaces `device_agent.tpm.source.TpmSource`: one chip, with connections that may fail."""

    name = "swtpm"

    def __init__(self, tcti: str) -> None:
        self._tcti = tcti
        self._tpm: Tpm | None = None
        self.plan = Plan(-1, "", for_good=False)

    def get(self) -> Tpm:
        if self._tpm is None:
            opened = FaultyConnection(self._tcti, self.plan)
            try:
                self._tpm = Tpm(opened)
            except BirthmarkError:
                opened.close()
                raise
        return self._tpm

    def drop(self) -> None:
        tpm, self._tpm = self._tpm, None
        if tpm:
            tpm.close()


@contextmanager
def _chip() -> Iterator[str]:
    """Make a new TPM, and switch it on."""
    with tempfile.TemporaryDirectory(prefix="birthmark-faults-") as directory, Simulator(Path(directory)) as simulator:
        yield simulator.tcti


async def _fresh(testbed: Testbed, station: Services, pi: Pi | None, source: Source) -> Pi:
    """Make the next unit with the same chip; release the one before."""
    if pi is not None:
        await testbed.release(station, pi)
    source.drop()
    source.plan = Plan(-1, "", for_good=False)
    return testbed.new_pi(source=source)


@cache
def commands() -> int:
    """Count the commands of a first session, from opening the TPM on."""

    async def count(testbed: Testbed, source: Source) -> int:
        async with station_of(testbed) as station:
            assert (await testbed.plug(station, await _fresh(testbed, station, None, source))).well
            return source.plan.commands

    with _chip() as tcti, new_testbed() as testbed:
        source = Source(tcti)
        try:
            return run(testbed, count(testbed, source))
        finally:
            source.drop()


def every_command() -> list[Point]:
    """Return every command. Command 0 opens the TPM, so only the transport can fail."""
    return [
        (number, kind, for_good)
        for for_good in (False, True)
        for kind in TOLD
        for number in range(0 if kind in OPENING else 1, commands())
    ]


def attempt(points: Sequence[Point]) -> Iterable[Verdict]:
    async def sweep(testbed: Testbed, source: Source) -> list[Verdict]:
        async with station_of(testbed) as station:
            verdicts = []
            pi = None
            for point in points:
                number, kind, for_good = point
                pi = await _fresh(testbed, station, pi, source)
                source.plan = Plan(number, kind, for_good=for_good)
                first = await testbed.plug(station, pi)
                source.plan.over = True
                told = TOLD[kind]
                if number == 0 and kind == "gone":
                    told = "tpm.no-device"  # the agent ends, and systemd starts it again
                    pi.power_off()
                code = getattr(first.pi, "code", "")
                if kind in PASSING and not for_good and not first.well:
                    verdicts.append(Verdict(point, Outcome.LOST, f"not tried again: {first.told()}"))
                elif not first.well and code != told:
                    verdicts.append(Verdict(point, Outcome.LOST, f"not called {told}: {first.told()}"))
                elif pi.agent and isinstance(first.pi, BirthmarkError) and not first.pi.kind.retry:
                    verdicts.append(Verdict(point, Outcome.LOST, f"the agent would not try again: {first.told()}"))
                else:
                    verdicts.append(await judged(testbed, station, pi, point, first))
            return await audited(testbed, station, verdicts)

    with _chip() as tcti, new_testbed() as testbed, mock.patch.object(connection, "time", _Time()):
        source = Source(tcti)
        try:
            return run(testbed, sweep(testbed, source))
        finally:
            source.drop()


SWEEPS = (Sweep("TPM command fails, once or for good", every_command, attempt, sample=50, batch=120),)
