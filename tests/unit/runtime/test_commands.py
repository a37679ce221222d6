"""Every command ends on an error with its sentence, advice, code and status, and prints JSON as one value."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import click
import msgspec
import pytest
from click.testing import CliRunner

from runtime.commands import AS_JSON, CommandGroup, LaterCommand, loaded, print_json
from shared.errors import BirthmarkError, ErrorCode

ROOT = Path(__file__).parents[3]


@click.group(cls=CommandGroup)
def commands() -> None:
    """The commands of a test program."""


@commands.command()
@click.argument("code")
def fail(code: ErrorCode) -> None:
    click.echo("begun")
    raise BirthmarkError(code, "particulars")


class Answer(msgspec.Struct):
    name: str
    numbers: tuple[int, ...] = (1, 2)


@commands.command()
@AS_JSON
def answer(as_json: bool) -> None:
    print_json(Answer("Grüße")) if as_json else click.echo("in words")


@commands.command()
def talk() -> None:
    while True:
        click.echo("a line that nobody reads any more")


@pytest.fixture
def group() -> CommandGroup:
    """A group with one command that is there later, and one that never is."""
    group = CommandGroup("group")
    group.add_command(LaterCommand("answer", f"{__name__}:answer", "Say something."))
    group.add_command(LaterCommand("gone", "no.such.module:gone", "Never mind."))
    return group


def test_a_command_is_listed_without_its_module(group: CommandGroup) -> None:
    shown = CliRunner().invoke(group, ["--help"])
    assert shown.exit_code == 0
    assert "answer  Say something." in shown.stdout
    assert "gone    Never mind." in shown.stdout


def test_a_command_is_imported_when_it_is_used(group: CommandGroup) -> None:
    assert loaded(group.commands["answer"]) is answer
    assert loaded(answer) is answer
    assert CliRunner().invoke(group, ["answer"]).stdout == "in words\n"
    assert "--json" in CliRunner().invoke(group, ["answer", "--help"]).stdout
    assert isinstance(CliRunner().invoke(group, ["gone"]).exception, ImportError)


@pytest.mark.parametrize("place", [f"{__name__}:answer", f"{__name__}:ROOT"])
def test_a_place_where_another_command_is_or_none_is_a_mistake(place: str) -> None:
    with pytest.raises(TypeError, match="is not the command question"):
        LaterCommand("question", place, "").load()


@pytest.mark.parametrize(("code", "status"), [("nuc.map-empty", 1), ("link.busy", 75)])
def test_an_error_is_printed_on_stderr_with_its_code_and_sets_the_status(code: ErrorCode, status: int) -> None:
    ended = CliRunner().invoke(commands, ["fail", code])
    assert (ended.exit_code, ended.stdout) == (status, "begun\n")
    error = BirthmarkError(code)
    assert ended.stderr == f"error: {error.sentence}: particulars\n  {error.advice}\n  [{code}]\n"


def test_an_error_that_is_none_of_ours_is_not_hidden() -> None:
    assert isinstance(CliRunner().invoke(commands, ["fail", "no.such-code"]).exception, KeyError)


def test_json_is_one_value_in_the_letters_it_was_given() -> None:
    ended = CliRunner().invoke(commands, ["answer", "--json"])
    assert json.loads(ended.stdout) == {"name": "Grüße", "numbers": [1, 2]}
    assert "Grüße" in ended.stdout
    assert CliRunner().invoke(commands, ["answer"]).stdout == "in words\n"


def test_a_reader_that_has_enough_ends_the_command_without_a_traceback() -> None:
    program = "import sys; from tests.unit.runtime.test_commands import commands; commands(sys.argv[1:])"
    with subprocess.Popen(
        [sys.executable, "-c", program, "talk"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline() == b"a line that nobody reads any more\n"
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait() == 1
