"""Fixtures: two simulated TPMs for the whole suite, and an honest agent's Proof to another station."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from device_agent.session.agent_session import AgentSession
from device_agent.storage.disk import Disk
from device_agent.storage.identity import IdentityStore
from device_agent.tpm import Simulator, Tpm
from shared.protocol.messages import Proof
from tests.harness.recorded_station import context, open_recorded_station, private
from virtual.cable import End


@pytest.fixture(scope="session")
def simulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Simulator]:
    with Simulator(private(tmp_path_factory.mktemp("first"))) as running:
        yield running


@pytest.fixture(scope="session")
def other_simulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Simulator]:
    with Simulator(private(tmp_path_factory.mktemp("second"))) as running:
        yield running


@pytest.fixture(scope="session")
def earlier(simulator: Simulator, tmp_path_factory: pytest.TempPathFactory) -> Proof:
    folder = private(tmp_path_factory.mktemp("earlier"))
    tpm = Tpm.open(simulator.tcti)
    try:
        with open_recorded_station(folder) as station_under_test:
            outcome = station_under_test.meet(lambda: AgentSession(tpm, IdentityStore(folder, Disk()), context()))
    finally:
        tpm.close()
    [proof] = [message for message in outcome.recording.messages(End.PI) if isinstance(message, Proof)]
    return proof


@pytest.fixture
def tpm(simulator: Simulator) -> Iterator[Tpm]:
    yield from _opened(simulator)


@pytest.fixture
def other_tpm(other_simulator: Simulator) -> Iterator[Tpm]:
    yield from _opened(other_simulator)


def _opened(simulator: Simulator) -> Iterator[Tpm]:
    opened = Tpm.open(simulator.tcti)
    yield opened
    opened.close()
