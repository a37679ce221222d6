"""One simulator for all tests of a file: making a TPM takes a second or two."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from device_agent.tpm import Simulator


@pytest.fixture(scope="module")
def simulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Simulator]:
    simulator = Simulator(tmp_path_factory.mktemp("tpm"))
    simulator.start()
    yield simulator
    simulator.close()
