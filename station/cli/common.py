"""What the station's commands share: the data directory's option, and times for people."""

from __future__ import annotations

import datetime as dt
import sys
from pathlib import Path
from typing import IO, Final

import click
from rich.console import Console
from rich.table import Table

from shared.command import AS_JSON, Commands, print_json
from shared.errors import BirthmarkError

__all__ = ["AS_JSON", "DATA_DIR", "Commands", "moment", "print_json", "root_passphrase", "secret_line"]

_LINE_CHARACTERS: Final = 1024
_PASSPHRASE_CHARACTERS: Final = 12

_PIPE_COLUMNS: Final = 240

DATA_DIR: Final = click.option(
    "--data-dir",
    type=click.Path(path_type=Path),
    required=True,
    envvar="BIRTHMARK_DATA_DIR",
    help="The station's data directory (or BIRTHMARK_DATA_DIR).",
)


def moment(seconds: int | None) -> str:
    """A time for people, in the local zone."""
    if seconds is None:
        return "–"
    return dt.datetime.fromtimestamp(seconds, dt.UTC).astimezone().strftime("%Y-%m-%d %H:%M")


def secret_line(file: IO[str]) -> str:
    """The first line of a file that holds a secret: what is given so is in no list of processes. A bad one is empty."""
    try:
        return file.readline(_LINE_CHARACTERS).strip()
    except (OSError, UnicodeDecodeError):
        return ""


def root_passphrase(file: IO[str] | None) -> str | None:
    """The passphrase for the root's key, None when no file is given. Raises `config.invalid` for a short one."""
    if file is None:
        return None
    passphrase = secret_line(file)
    if len(passphrase) < _PASSPHRASE_CHARACTERS:
        raise BirthmarkError("config.invalid", f"a root passphrase has {_PASSPHRASE_CHARACTERS} characters or more")
    return passphrase


def print_table(table: Table) -> None:
    """Fitted to a terminal; whole lines where the output goes elsewhere, for `grep` and `less -S`."""
    Console(width=None if sys.stdout.isatty() else _PIPE_COLUMNS).print(table)
