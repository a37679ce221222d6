"""Makes the commands of both programs print errors and JSON alike and use the same exit codes."""

from __future__ import annotations

import os
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


def print_json(value: object) -> None:
    """Print one JSON value, indented, on stdout."""
    click.echo(msgspec.json.format(msgspec.json.encode(value)).decode())
