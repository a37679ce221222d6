"""A TPM that is missing, forbidden or no TPM: each has its own error, before anything else is tried."""

import os
import tempfile
from pathlib import Path

import pytest

from device_agent.tpm import simulator
from device_agent.tpm.source import open_tpm
from shared.errors import BirthmarkError


def code(name: str, state_dir: Path) -> str:
    with open_tpm(name, state_dir) as source, pytest.raises(BirthmarkError) as caught:
        source.get()
    return caught.value.code


def test_a_simulator_that_is_not_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert code("simulator", tmp_path) == "tpm.simulator-missing"
    assert not (tmp_path / "simulator").exists()


def test_a_simulator_that_cannot_be_made_leaves_nothing_half_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "bin").mkdir()
    setup = tmp_path / "bin" / "swtpm_setup"
    setup.write_text("#!/bin/sh\necho broken\nexit 3\n")
    setup.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}/bin:{os.environ['PATH']}")
    state = tmp_path / "state"
    state.mkdir()
    assert code("simulator", state) == "tpm.simulator-failed"
    assert [path.name for path in state.iterdir()] == ["swtpm.log"]
    assert (state / "swtpm.log").read_text() == "broken\n"


def test_somebody_elses_socket_directory_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    real = simulator._socket_directory(tmp_path)
    real.chmod(0o777)
    with pytest.raises(BirthmarkError) as caught:
        simulator._socket_directory(tmp_path)
    assert caught.value.code == "tpm.simulator-failed"
