"""Two TPMs, made once for the suite, and what an honest agent with the first one said to another station."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from device_agent.disk import Disk
from device_agent.identity import IdentityStore
from device_agent.provision import Enrollee
from device_agent.tpm import Simulator, Tpm
from shared.messages import Proof
from tests.hostile.stage import private, setting, staged
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
        with staged(folder) as stage:
            meeting = stage.meet(lambda: Enrollee(tpm, IdentityStore(folder, Disk()), setting()))
    finally:
        tpm.close()
    [proof] = [message for message in meeting.recording.messages(End.PI) if isinstance(message, Proof)]
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
