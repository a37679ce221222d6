"""The command group: help for every command, errors with their code, and no library's debug lines."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from runtime.commands import loaded
from station.cli import main
from station.cli.main import COMMANDS
from tests.harness import imported_libraries
from tests.harness.station_commands import run_station


def commands(group: click.Group, *path: str) -> Iterator[tuple[str, ...]]:
    for name, listed in group.commands.items():
        command = loaded(listed)
        yield (*path, name)
        if isinstance(command, click.Group):
            yield from commands(command, *path, name)


@pytest.mark.parametrize("path", list(commands(main)), ids=" ".join)
def test_every_command_has_a_sentence_of_help(path: tuple[str, ...]) -> None:
    result = run_station(*path, "--help")
    assert result.exit_code == 0
    usage, sentence, *_ = [line.strip() for line in result.stdout.splitlines() if line.strip()]
    assert usage.startswith(f"Usage: main {' '.join(path)}")
    assert len(sentence.split()) > 2


def test_the_list_of_commands_fits_a_terminal() -> None:
    shown = CliRunner().invoke(main, ["--help"], terminal_width=80).stdout
    for name, _, summary in COMMANDS:
        assert f"  {name} " in shown
        assert f"  {summary}\n" in shown, "neither cut nor broken"


LIGHT = {"click", "msgspec", "typing_extensions", "birthmark-provisioning"}


@pytest.mark.parametrize(("words", "says"), [("--help", "devices"), ("--version", "version"), ("devise", "devices")])
def test_a_station_that_does_nothing_imports_neither_web_server_nor_registry(words: str, says: str) -> None:
    ran = imported_libraries.run("-m", "station", words)
    assert says in ran.output
    assert ran.libraries <= LIGHT


def test_a_station_that_serves_imports_them() -> None:
    """Control for the test above."""
    assert {"aiohttp", "SQLAlchemy"} <= imported_libraries.run("-m", "station", "serve", "--help").libraries


def test_a_shell_completes_commands_without_their_libraries() -> None:
    asked = {
        "_BIRTHMARK_STATION_COMPLETE": "bash_complete",
        "COMP_WORDS": "birthmark-station de",
        "COMP_CWORD": "1",
    }
    ran = imported_libraries.run("-m", "station", env=asked)
    assert ran.output.split() == ["plain,derive-vectors", "plain,device", "plain,devices"]
    assert ran.libraries <= LIGHT


def test_an_error_is_printed_with_its_advice_and_code(tmp_path: Path) -> None:
    result = run_station("devices", "--data-dir", tmp_path / "none")
    assert (result.exit_code, result.stdout) == (1, "")
    error, advice, code = result.stderr.splitlines()
    assert error.startswith("error: ")
    assert advice.strip()
    assert code == "  [data.missing]"


def test_an_unknown_command_exits_with_two() -> None:
    assert run_station("no-such-command").exit_code == 2


def test_verbose_lets_nobody_print_what_crosses_the_cable_or_the_database(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    loggers = [logging.getLogger(name) for name in ("serialx", "aiosqlite", "sqlalchemy", "asyncio")]
    for logger in loggers:
        logger.setLevel(logging.NOTSET)
        assert logger.isEnabledFor(logging.DEBUG)
    assert run_station("--verbose", "derive-vectors").exit_code == 0
    for logger in loggers:
        assert not logger.isEnabledFor(logging.DEBUG)
