"""What every command shares: errors told in one way, tables and JSON printed in one way."""

from __future__ import annotations

import datetime as dt
import os
import sys
from pathlib import Path
from typing import Any, Final

import click
import msgspec

from shared.errors import BirthmarkError, described

DATA_DIR: Final = click.option(
    "--data-dir",
    type=click.Path(path_type=Path),
    required=True,
    envvar="BIRTHMARK_DATA_DIR",
    help="The station's data directory (or BIRTHMARK_DATA_DIR).",
)
AS_JSON: Final = click.option("--json", "as_json", is_flag=True, help="Print one JSON value for a program to read.")


class Commands(click.Group):
    """A group whose commands end with our errors: told on stderr, with the exit code that belongs to them."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except BirthmarkError as error:
            click.echo(described(error), err=True)
            sys.exit(error.exit_code)
        except BrokenPipeError:  # `… | head` has seen enough
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            sys.exit(1)


def print_json(value: object) -> None:
    click.echo(msgspec.json.format(msgspec.json.encode(value)).decode())


def moment(seconds: int | None) -> str:
    """A time for people, in the local zone."""
    if seconds is None:
        return "–"
    return dt.datetime.fromtimestamp(seconds, dt.UTC).astimezone().strftime("%Y-%m-%d %H:%M")
