"""A unit of a testbed: its directory, its TPM and its agent, and how a plug-in ended."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from device_agent.session import service
from device_agent.session.agent import Agent, Options
from device_agent.session.service import Timeouts
from device_agent.storage.disk import Disk
from device_agent.storage.identity import Identity, IdentityStore
from device_agent.storage.state_dir import prepare_state_dir
from station.registry.records import Unit
from tests.fault_injection.soft_tpm import SoftTpmSource
from virtual.cable import End


@dataclass
class Pi:
    """A unit: its directory, its TPM, and the agent that runs on it until the power is cut."""

    directory: Path
    serial: str
    source: Any = field(default_factory=SoftTpmSource)
    disk: Disk = field(default_factory=Disk)
    agent: Agent | None = None
    let_out: set[bytes] = field(default_factory=set)
    """Certificates that crossed the cable for it, DER."""

    @property
    def state_dir(self) -> Path:
        return self.directory / "state"

    @property
    def nuc_map(self) -> Path:
        return self.directory / "nuc-map"

    def capture(self) -> None:
        self.directory.mkdir(mode=0o700, parents=True)
        self.nuc_map.write_bytes(os.urandom(64))

    def power_off(self) -> None:
        self.agent = None

    def identity(self) -> Identity | None:
        return IdentityStore(self.state_dir, Disk()).load()

    def run(self, timeouts: Timeouts) -> Identity:
        """Run the agent, started if necessary, for one session."""
        if self.agent is None:
            prepare_state_dir(self.state_dir)
            options = Options(self.state_dir, self.source.name, self.nuc_map, False, self.serial, None)
            self.agent = Agent(options, self.source, self.disk)
        return service.serve_once(self.directory / "pi", self.agent, _silent, timeouts)


def _silent(_step: int, _text: str) -> None:
    return None


@dataclass
class Ended:
    """How a plug-in ended at both ends: the result, or the error."""

    station: Unit | BaseException | None = None
    pi: Identity | BaseException | None = None
    writes: list[tuple[End, bytes]] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def well(self) -> bool:
        return isinstance(self.station, Unit) and isinstance(self.pi, Identity)

    def told(self) -> str:
        shown = ["done" if isinstance(end, Unit | Identity) else repr(end) for end in (self.station, self.pi)]
        return f"station: {shown[0]}, Pi: {shown[1]}"
