"""Defines a sweep: one fault, every point at which it can happen, and the unit's recovery at each."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from station.services import Services
from tests.fault_injection.testbed import Testbed
from tests.fault_injection.unit import Ended, Pi

Point = Any
"""Where a fault happens. Each sweep defines its own; it can be printed and sent to another process."""


class Outcome(StrEnum):
    RECOVERED = "recovered"
    """Provisioned exactly once, and registry, audit log and Pi agree."""
    LOST = "lost"
    """Plugging in again did not help: an operator would have to repair something."""
    TWICE = "issued twice"


@dataclass(frozen=True)
class Verdict:
    point: Point
    outcome: Outcome
    why: str = ""


@dataclass(frozen=True)
class Sweep:
    """One row of the table."""

    fault: str
    points: Callable[[], Sequence[Point]]
    attempt: Callable[[Sequence[Point]], Iterable[Verdict]]
    """Tries the fault at each of these points, on a new testbed."""
    sample: int = 12
    """How many of the points `make test` tries; `make faults` tries all."""
    batch: int = 100
    """How many points share a testbed."""

    def sampled(self) -> list[Point]:
        """Choose `sample` points, spread evenly, with the first and the last."""
        points = self.points()
        count = min(self.sample, len(points))
        return [points[i * (len(points) - 1) // max(count - 1, 1)] for i in range(count)]


@dataclass
class Tally:
    """The result of a sweep."""

    fault: str
    counts: dict[Outcome, int] = field(default_factory=lambda: dict.fromkeys(Outcome, 0))
    failures: list[Verdict] = field(default_factory=list)

    def add(self, verdict: Verdict) -> None:
        self.counts[verdict.outcome] += 1
        if verdict.outcome is not Outcome.RECOVERED:
            self.failures.append(verdict)

    @property
    def points(self) -> int:
        return sum(self.counts.values())


async def judged(testbed: Testbed, station: Services, pi: Pi, point: Point, first: Ended | None = None) -> Verdict:
    """Plug the unit in again, unless it is done, and judge its state."""
    again = first
    if first is None or not first.well:
        again = await testbed.plug(station, pi)
    if testbed.issued_twice(pi):
        return Verdict(point, Outcome.TWICE, again.told() if again else "")
    if again is not None and not again.well:
        before = f"first {first.told()}; " if first else ""
        return Verdict(point, Outcome.LOST, f"{before}plugged in again {again.told()}")
    if found := testbed.disagreements(pi):
        return Verdict(point, Outcome.LOST, "; ".join(found))
    return Verdict(point, Outcome.RECOVERED)


async def audited(testbed: Testbed, station: Services, verdicts: list[Verdict]) -> list[Verdict]:
    """Return the verdicts of a testbed; all are lost if its audit log is not whole."""
    if problems := await testbed.audit_problems(station):
        return [Verdict(verdict.point, Outcome.LOST, "; ".join(problems)) for verdict in verdicts]
    return verdicts
