"""What the agent's tests run on: a TPM simulator, and a kernel that makes USB gadgets."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from device_agent.tpm import Simulator, Tpm
from tests.harness.certificates import chain_of_trust
from tests.harness.configfs import Kernel
from tests.harness.provisioned_unit import UnitIdentity, make_unit_identity


@pytest.fixture(scope="module")
def simulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Simulator]:
    """One for all tests of a file: making a TPM takes a second or two."""
    simulator = Simulator(tmp_path_factory.mktemp("tpm"))
    simulator.start()
    yield simulator
    simulator.close()


@pytest.fixture(scope="module")
def unit_identity(simulator: Simulator) -> UnitIdentity:
    """What a station gives to the unit with that TPM; the TPM is free again."""
    tpm = Tpm.open(simulator.tcti)
    try:
        return make_unit_identity(tpm, chain_of_trust(), simulator.tcti)
    finally:
        tpm.close()


@pytest.fixture
def kernel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Kernel:
    kernel = Kernel(tmp_path)
    monkeypatch.setattr(os, "mkdir", kernel.mkdir)
    # shutil.rmtree inside the fake's rmdir needs the real one.
    real = os.rmdir

    def rmdir(path: str | Path, *, dir_fd: int | None = None) -> None:
        if dir_fd is None and Path(path).is_absolute() and Path(path).is_relative_to(kernel.configfs):
            monkeypatch.setattr(os, "rmdir", real)
            try:
                kernel.rmdir(path)
            finally:
                monkeypatch.setattr(os, "rmdir", rmdir)
        else:
            real(path, dir_fd=dir_fd)

    monkeypatch.setattr(os, "rmdir", rmdir)
    return kernel
