"""A virtual Pi: the real agent in its own process, with a TPM simulator, a simulated sensor and a cable."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

from virtual.cable import Cable, End

AGENT: Final = (sys.executable, "-m", "device_agent")


class VirtualPi:
    """A Pi whose files are in `directory`, which is private. `number` determines its board serial and its sensor."""

    def __init__(self, directory: Path, number: int) -> None:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.directory: Final = directory
        self.number: Final = number
        self.serial: Final = f"10000000{number:08x}"
        self.state_dir: Final = directory / "state"
        self.nuc_map: Final = directory / "nuc-map"
        self.cable: Final = Cable(directory)

    def capture(self) -> None:
        """Write the NUC map of its sensor, as `birthmark-agent nuc capture` does on a Pi."""
        run_agent("nuc", "simulate", "--seed", str(self.number), "--output", str(self.nuc_map))

    def start(self, *options: str) -> subprocess.Popen[str]:
        """Start `birthmark-agent run`, which prints its progress on stderr."""
        command = [
            *AGENT,
            "run",
            *("--port", str(self.cable.paths[End.PI])),
            *("--state-dir", str(self.state_dir)),
            *("--tpm", "simulator"),
            *("--serial", self.serial),
            *("--model", "Virtual Pi"),
            *("--nuc-map", str(self.nuc_map)),
            *options,
        ]
        return subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )

    def status(self) -> dict[str, Any]:
        """Return the output of `birthmark-agent status --json`."""
        told = run_agent(
            *("status", "--json", "--state-dir", str(self.state_dir), "--nuc-map", str(self.nuc_map)), check=False
        )
        return dict(json.loads(told.stdout))


def run_agent(*arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    """Run a command of the agent to its end. Raises CalledProcessError unless `check` is off."""
    return subprocess.run(
        [*AGENT, *arguments], stdin=subprocess.DEVNULL, capture_output=True, text=True, check=check, env=os.environ
    )
