"""Runs the station's commands in this process, on a temporary data directory."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from click.testing import CliRunner, Result

from station.cli import main


def run_station(*arguments: object, stdin: str | None = None) -> Result:
    """Run `birthmark-station` with these arguments, without a terminal."""
    return CliRunner().invoke(main, [str(argument) for argument in arguments], input=stdin)


@dataclass(frozen=True)
class StationCommands:
    """Runs commands on one data directory."""

    data_dir: Path

    def __call__(self, command: str, *arguments: object, stdin: str | None = None) -> Result:
        """`command` may be two words, as `tokens create`."""
        return run_station(*command.split(), "--data-dir", self.data_dir, *arguments, stdin=stdin)

    def read_json(self, command: str, *arguments: object) -> Any:
        """Run a command that must succeed with `--json`, and return what it prints."""
        result = self(command, *arguments, "--json")
        assert result.exit_code == 0, result.output
        return json.loads(result.stdout)

    def provision(self, serial: str) -> dict[str, Any]:
        """Provision a unit whose key the station makes, and return the provisioning file's content."""
        made = self.read_json("provision", "--serial", serial, "--output", self.data_dir.parent / "handed-out")
        return dict(json.loads(Path(made["file"]).read_text()))
