"""A camera as a station leaves it: its state directory, with its secrets in a TPM simulator, and that station."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from device_agent.session.agent_session import AgentSession
from device_agent.storage.disk import Disk
from device_agent.storage.identity import IdentityStore
from device_agent.tpm import Simulator, Tpm
from tests.harness.recorded_station import RecordedStation, context, open_recorded_station, private


@contextmanager
def open_provisioned_camera(folder: Path) -> Iterator[tuple[RecordedStation, Path]]:
    """Provision a camera in `folder`; nobody uses its TPM. Returns the station and the camera's state directory."""
    state_dir = private(folder / "state")
    with open_recorded_station(folder) as station:
        with Simulator(state_dir) as simulator:
            tpm = Tpm.open(simulator.tcti)
            outcome = station.meet(lambda: AgentSession(tpm, IdentityStore(state_dir, Disk()), context()))
            tpm.close()
        assert outcome.identity is not None, outcome
        yield station, state_dir
