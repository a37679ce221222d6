"""Every agent command in the integrators' pages exists, with its options."""

from __future__ import annotations

import re
from pathlib import Path

import click
import pytest

from device_agent.cli import main
from runtime.commands import loaded

DOCS = Path(__file__).parents[3] / "docs"
_COMMAND = re.compile(r"(?<![\w/-])birthmark-agent ([a-z][a-z -]*(?:[^`\n|]*))")


def commands(page: str) -> list[list[str]]:
    text = (DOCS / page).read_text(encoding="utf-8").replace("sudo -u birthmark-agent ", "")
    blocks = re.findall(r"```sh\n(.*?)```", text, re.DOTALL) + re.findall(r"`([^`\n]*birthmark-agent [^`\n]*)`", text)
    return [match.split() for block in blocks for match in _COMMAND.findall(block) if "systemctl" not in block]


@pytest.mark.parametrize("page", ["pi-integrator.md", "hardware-checklist.md", "nuc-map.md"])
def test_each_command_and_option_exists(page: str) -> None:
    found = commands(page)
    assert found
    for words in found:
        command: click.Command = main
        rest = list(words)
        while isinstance(command, click.Group):
            name = rest.pop(0)
            below = command.get_command(click.Context(command), name)
            assert below is not None, f"{page}: birthmark-agent {' '.join(words)}"
            command = loaded(below)
        known = {option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)}
        for word in rest:
            if word.startswith("--"):
                assert word in {*known, "--help"}, f"{page}: {word} of birthmark-agent {' '.join(words)}"
