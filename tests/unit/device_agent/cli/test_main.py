"""The command `birthmark-agent` as a whole: its commands, their help, and their common errors."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from device_agent.cli import main
from runtime.owner import user_of

ROOT = Path(__file__).parents[4]


def paths(command: click.Command, *names: str) -> Iterator[tuple[str, ...]]:
    """Return the words of every command below `command`."""
    yield names
    if isinstance(command, click.Group):
        for name, below in command.commands.items():
            yield from paths(below, *names, name)


def test_the_commands_are_those_of_the_manual() -> None:
    listed = set(main.commands)
    assert listed == {"setup", "doctor", "run", "gadget", "nuc", "status", "reset", "token", "sign", "export"}


@pytest.mark.parametrize("words", list(paths(main)), ids=" ".join)
def test_every_command_has_help_for_itself_and_each_option(words: tuple[str, ...]) -> None:
    shown = CliRunner().invoke(main, [*words, "--help"])
    assert shown.exit_code == 0, shown.output
    assert shown.stdout.startswith("Usage: ")
    command: click.Command = main
    for word in words:
        assert isinstance(command, click.Group)
        command = command.commands[word]
    assert command.help
    silent = [option.name for option in command.params if isinstance(option, click.Option) and not option.help]
    assert silent == []


def test_the_agent_and_the_format_start_without_numpy() -> None:
    program = (
        "import sys, device_agent.cli.main, device_agent.nuc_map.format;"
        "sys.exit(bool({'numpy', 'tifffile', 'picamera2'} & sys.modules.keys()))"
    )
    assert subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=False).returncode == 0


@pytest.mark.parametrize("command", [("status",), ("reset", "--yes"), ("token",), ("run", "--port", "/dev/null")])
def test_every_command_says_it_and_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: tuple[str, ...]
) -> None:
    tmp_path.chmod(0o700)
    uid = tmp_path.stat().st_uid
    monkeypatch.setattr(os, "geteuid", lambda: uid + 1)
    ended = CliRunner().invoke(main, [*command, "--state-dir", str(tmp_path)])
    assert (ended.exit_code, ended.stdout) == (1, "")
    assert f"put `{user_of(uid, 0).sudo}` before the command" in ended.stderr
    assert "[identity.permission]" in ended.stderr
    assert list(tmp_path.iterdir()) == []
