"""Nothing is lost and nothing is issued twice: every byte of a session on the cable, and a sample of every other fault.

`make faults` tries all points of all of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any
from unittest import mock

import pytest

from device_agent.storage.disk import Disk
from station.registry import units
from station.registry.database import Connection
from station.registry.recognition import Recognition, recognise
from station.registry.records import Applicant
from tests.fault_injection import cable, storing
from tests.fault_injection.power_cut import Recorder
from tests.fault_injection.sweep import Outcome, Point, Sweep, Verdict
from tests.fault_injection.sweeps import SWEEPS
from tests.harness import issuing


def not_recovered(verdicts: Iterable[Verdict]) -> list[Verdict]:
    return [verdict for verdict in verdicts if verdict.outcome is not Outcome.RECOVERED]


BYTE_FAULTS = ("cut", "flipped", "dropped", "doubled", "late", "too late")


@pytest.mark.parametrize("number", range(len(cable.BYTE_FAULTS)), ids=BYTE_FAULTS)
def test_a_unit_recovers_from_a_fault_at_any_byte_of_a_session(number: int) -> None:
    """The frame decoder gets a fault at every byte; a session is tried once for each kind of result."""
    what, points = cable.BYTE_FAULTS[number]
    every = points()
    classes = cable.classes(what, every)
    assert sum(len(members) for members in classes.values()) == len(every) > 7000
    tried = [members[len(members) // 2] for members in classes.values()]
    assert not_recovered(cable.attempt(what, tried)) == []


@pytest.mark.parametrize("sweep", SWEEPS, ids=lambda sweep: sweep.fault)
def test_a_unit_recovers_from(sweep: Sweep) -> None:
    points = sweep.sampled()
    verdicts = list(sweep.attempt(points))
    assert len(verdicts) == len(points) > 0
    assert not_recovered(verdicts) == []


# --- the sweeps themselves can fail ---


def test_the_sweep_detects_a_disk_that_is_never_synced() -> None:
    def forgetful(self: Recorder, directory: Any) -> None:
        Disk.sync(self, directory)

    with mock.patch.object(Recorder, "sync", forgetful):
        storing.every_power_cut.cache_clear()
        points = storing.every_power_cut()
        lost = not_recovered(storing.attempt_power_cut(points[:: len(points) // 150]))
    storing.every_power_cut.cache_clear()
    assert {verdict.outcome for verdict in lost} == {Outcome.LOST}


def test_the_sweep_detects_a_registry_that_forgets_issued_units(monkeypatch: pytest.MonkeyPatch) -> None:
    honest = recognise

    async def forgetful(connection: Connection, applicant: Applicant, now: int) -> Recognition:
        for unit in await issuing.listed(connection):
            if unit.serial == applicant.serial:
                # As if it had never been: the index that keeps two apart sees no released units.
                await connection.exec_driver_sql(f"UPDATE units SET state = 'released' WHERE id = {unit.id}")
        return await honest(connection, applicant, now)

    monkeypatch.setattr("station.provisioning.issuance.recognise", forgetful)
    points: Sequence[Point] = [(4, 1000), (5, 500)]
    assert [verdict.outcome for verdict in cable.attempt(cable.cut, points)] == [Outcome.TWICE, Outcome.TWICE]


def test_a_unit_that_does_not_get_over_a_fault_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    async def never(*_arguments: Any) -> Any:
        raise ValueError("a bug")

    monkeypatch.setattr(units, "confirm", never)
    assert [verdict.outcome for verdict in cable.attempt(cable.cut, [(6, 3)])] == [Outcome.LOST]


def test_a_sweep_samples_its_first_and_last_points() -> None:
    attempt: Callable[[Sequence[Point]], Iterable[Verdict]] = lambda points: []  # noqa: E731
    assert Sweep("", lambda: range(10), attempt, sample=4).sampled() == [0, 3, 6, 9]
    assert Sweep("", lambda: range(2), attempt, sample=4).sampled() == [0, 1]
