"""What the station's commands share: reading secrets from files, printing tables and times."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import IO, Final

import click
from rich.console import Console
from rich.table import Table

from runtime.clock import local_time
from runtime.commands import AS_JSON, CommandGroup, print_json
from shared.errors import BirthmarkError

__all__ = ["AS_JSON", "FORCE", "CommandGroup", "format_time", "print_json", "read_root_passphrase", "read_secret_line"]

_LINE_CHARACTERS: Final = 1024
PASSPHRASE_CHARACTERS: Final = 12
"""The shortest passphrase. scrypt makes each guess slow; the length makes the number of guesses large."""

_PIPE_COLUMNS: Final = 240

FORCE: Final = click.option(
    "--force", is_flag=True, help="Replace the station that is there; it is moved aside, not deleted."
)


def format_time(seconds: int | None) -> str:
    """Format a time for people, in the local zone."""
    if seconds is None:
        return "–"
    return local_time(seconds)


def read_secret_line(file: IO[str]) -> str:
    """Read the first line of a file that holds a secret, so that no list of processes shows it. Empty if malformed."""
    try:
        return file.readline(_LINE_CHARACTERS).strip()
    except (OSError, UnicodeDecodeError):
        return ""


def read_root_passphrase(file: IO[str] | None) -> str | None:
    """Read the passphrase for the root's key; None without a file. Raises `config.passphrase-short`."""
    if file is None:
        return None
    passphrase = read_secret_line(file)
    check_passphrase(passphrase)
    return passphrase


def check_passphrase(passphrase: str) -> None:
    """Check the length of the root key's passphrase or a backup's. Raises `config.passphrase-short`."""
    if len(passphrase) < PASSPHRASE_CHARACTERS:
        raise BirthmarkError("config.passphrase-short", f"it has fewer than {PASSPHRASE_CHARACTERS} characters")


def print_replaced(data_dir: Path, aside: Path | None) -> None:
    """Print where `--force` moved what it replaced."""
    if aside is not None:
        click.echo(f"Moved the station that was in {data_dir} to {aside}.")


def print_table(table: Table) -> None:
    """Print a table, fitted to a terminal; with whole lines if the output goes elsewhere, for `grep` and `less -S`."""
    Console(width=None if sys.stdout.isatty() else _PIPE_COLUMNS).print(table)
