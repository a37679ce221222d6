"""Makes the commands of both programs print errors and JSON alike and use the same exit codes."""

from __future__ import annotations

import os
import pkgutil
import sys
from typing import Any, Final

import click
import msgspec

from shared.errors import BirthmarkError, format_error

AS_JSON: Final = click.option("--json", "as_json", is_flag=True, help="Print one JSON value for a program to read.")


class CommandGroup(click.Group):
    """A group that prints a BirthmarkError on stderr and exits with its exit code."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except BirthmarkError as error:
            click.echo(format_error(error), err=True)
            sys.exit(error.exit_code)
        except BrokenPipeError:  # the reader, such as `… | head`, closed the pipe
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            sys.exit(1)


class LaterCommand(click.Command):
    """A command that is imported when it is used: to list it costs neither its libraries nor their time.

    `place` is MODULE:NAME. `summary` is its line in the list of commands.
    """

    def __init__(self, name: str, place: str, summary: str) -> None:
        super().__init__(name, short_help=summary)
        self._place = place

    def load(self) -> click.Command:
        command = pkgutil.resolve_name(self._place)
        if not isinstance(command, click.Command) or command.name != self.name:
            raise TypeError(f"{self._place} is not the command {self.name}")
        return command

    def make_context(
        self, info_name: str | None, args: list[str], parent: click.Context | None = None, **extra: Any
    ) -> click.Context:
        return self.load().make_context(info_name, args, parent, **extra)


def loaded(command: click.Command) -> click.Command:
    """Return the command itself, with its help and options."""
    return command.load() if isinstance(command, LaterCommand) else command


def print_json(value: object) -> None:
    """Print one JSON value, indented, on stdout."""
    click.echo(msgspec.json.format(msgspec.json.encode(value)).decode())
