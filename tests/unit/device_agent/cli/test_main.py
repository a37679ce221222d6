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
from device_agent.cli.main import COMMANDS
from runtime.commands import loaded
from runtime.owner import user_of
from tests.harness import imported_libraries

ROOT = Path(__file__).parents[4]


def paths(command: click.Command, *names: str) -> Iterator[tuple[str, ...]]:
    """Return the words of every command from `command` down."""
    command = loaded(command)
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
        command = loaded(command.commands[word])
    assert command.help
    silent = [option.name for option in command.params if isinstance(option, click.Option) and not option.help]
    assert silent == []


def test_the_list_of_commands_fits_a_terminal() -> None:
    shown = CliRunner().invoke(main, ["--help"], terminal_width=80).stdout
    for name, _, summary in COMMANDS:
        assert f"  {name} " in shown
        assert f"  {summary}\n" in shown, "neither cut nor broken"


LIGHT = {"click", "msgspec", "typing_extensions", "birthmark-provisioning"}
"""What any command may import: together some 20 ms here, where the TPM library takes 100."""


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ("--help", "gadget"),
        ("--version", "version"),
        ("no-such-command", "No such command"),
        ("gadget --help", "quiet"),
        ("gadget --configfs {0} --controllers {0} status", "Down"),
        ("gadget --configfs {0} --controllers {0} start --serial 10000000abcdef01", "gadget.failed"),
        ("gadget --configfs {0} --controllers {0} quiet", "gadget.failed"),
        ("gadget --configfs {0} --controllers {0} stop", "Down"),
    ],
)
def test_a_command_that_needs_no_tpm_imports_no_library_for_it(tmp_path: Path, words: str, says: str) -> None:
    """`gadget` meets a directory that is no configfs, but has a controller: it does all that it can."""
    (tmp_path / "controller").mkdir()
    (tmp_path / "controller" / "state").write_text("not attached\n")
    ran = imported_libraries.run("-m", "device_agent", *words.format(tmp_path).split())
    assert says in ran.output
    assert ran.libraries <= LIGHT


def test_a_command_with_a_tpm_imports_its_library() -> None:
    """Control for the test above."""
    assert "tpm2-pytss" in imported_libraries.run("-m", "device_agent", "token", "--help").libraries


@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        ("", {name for name, *_ in COMMANDS}),
        ("s", {"setup", "sign", "status"}),
        ("gadget st", {"start", "status", "stop"}),
    ],
)
def test_a_shell_completes_commands_without_their_libraries(typed: str, offered: set[str]) -> None:
    words = f"birthmark-agent {typed}"
    asked = {
        "_BIRTHMARK_AGENT_COMPLETE": "bash_complete",
        "COMP_WORDS": words,
        "COMP_CWORD": str(words.count(" ")),
    }
    ran = imported_libraries.run("-m", "device_agent", env=asked)
    assert {line.removeprefix("plain,") for line in ran.output.split()} == offered
    assert ran.libraries <= LIGHT


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
