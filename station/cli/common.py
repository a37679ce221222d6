"""What the station's commands share: secrets from files, tables, and times for people."""

from __future__ import annotations

import datetime as dt
import sys
from pathlib import Path
from typing import IO, Final

import click
from rich.console import Console
from rich.table import Table

from runtime.commands import AS_JSON, CommandGroup, print_json
from shared.errors import BirthmarkError

__all__ = ["AS_JSON", "FORCE", "CommandGroup", "format_time", "print_json", "read_root_passphrase", "read_secret_line"]

_LINE_CHARACTERS: Final = 1024
PASSPHRASE_CHARACTERS: Final = 12
"""What guesses offline cost is scrypt's; that there are many of them to make is the passphrase's."""


_PIPE_COLUMNS: Final = 240

FORCE: Final = click.option(
    "--force", is_flag=True, help="Replace the station that is there; it is moved aside, not deleted."
)


def format_time(seconds: int | None) -> str:
    """A time for people, in the local zone."""
    if seconds is None:
        return "–"
    return dt.datetime.fromtimestamp(seconds, dt.UTC).astimezone().strftime("%Y-%m-%d %H:%M")


def read_secret_line(file: IO[str]) -> str:
    """The first line of a file that holds a secret: what is given so is in no list of processes. A bad one is empty."""
    try:
        return file.readline(_LINE_CHARACTERS).strip()
    except (OSError, UnicodeDecodeError):
        return ""


def read_root_passphrase(file: IO[str] | None) -> str | None:
    """The passphrase for the root's key, None when no file is given. Raises `config.passphrase-short`."""
    if file is None:
        return None
    passphrase = read_secret_line(file)
    check_passphrase(passphrase)
    return passphrase


def check_passphrase(passphrase: str) -> None:
    """For what lies where others may get it: the root's key, a backup. Raises `config.passphrase-short`."""
    if len(passphrase) < PASSPHRASE_CHARACTERS:
        raise BirthmarkError("config.passphrase-short", f"it has fewer than {PASSPHRASE_CHARACTERS} characters")


def print_replaced(data_dir: Path, aside: Path | None) -> None:
    """Where what `--force` replaced is now."""
    if aside is not None:
        click.echo(f"Moved the station that was in {data_dir} to {aside}.")


def print_table(table: Table) -> None:
    """Fitted to a terminal; whole lines where the output goes elsewhere, for `grep` and `less -S`."""
    Console(width=None if sys.stdout.isatty() else _PIPE_COLUMNS).print(table)
