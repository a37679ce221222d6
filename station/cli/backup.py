"""`birthmark-station backup` and `restore`: the whole station in one sealed file, and back."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Final

import click
from rich.console import Console
from rich.progress import Progress as Bars
from rich.progress import TaskID

from station.cli.common import (
    AS_JSON,
    FORCE,
    check_passphrase,
    format_time,
    print_json,
    print_replaced,
    read_secret_line,
)
from station.cli.data_directory import NEW_DATA_DIR, OWN_DATA_DIR
from station.setup.backup import backup as backups
from station.setup.backup.backup import Progress

_PASSPHRASE_FILE: Final = click.option(
    "--passphrase-file",
    type=click.File("r"),
    help="Its first line is the passphrase, `-` for standard input; else asked.",
)
_FILE: Final = click.argument("file", type=click.Path(path_type=Path, dir_okay=False))


@click.command()
@OWN_DATA_DIR
@_FILE
@_PASSPHRASE_FILE
@AS_JSON
def backup(data_dir: Path, file: Path, passphrase_file: IO[str] | None, as_json: bool) -> None:
    """Write the whole station, secrets and all, into FILE, encrypted under a passphrase. Sessions may go on."""
    passphrase = _passphrase(passphrase_file, twice=True)
    with _show_progress() as progress:
        made = backups.backup(data_dir, file, passphrase, progress)
    if as_json:
        print_json(
            {
                "file": str(made.file),
                "made_at": made.made_at,
                "bytes": made.size,
                "sha256": made.sha256,
                "units": made.units,
            }
        )
        return
    click.echo(f"{made.file}: {made.units} units, {made.size} bytes, SHA-256 {made.sha256}")
    click.echo("Keep it and its passphrase in different places: together they are the authority.")


@click.command()
@NEW_DATA_DIR
@_FILE
@_PASSPHRASE_FILE
@FORCE
@AS_JSON
def restore(data_dir: Path, file: Path, passphrase_file: IO[str] | None, force: bool, as_json: bool) -> None:
    """Make a data directory from a backup, whole or not at all. The station it was made of must not run any more."""
    passphrase = _passphrase(passphrase_file, twice=False)
    with _show_progress() as progress:
        made = backups.restore(file, data_dir, passphrase, progress, force=force)
    if as_json:
        print_json(
            {
                "data_dir": str(made.data_dir),
                "replaced": str(made.replaced) if made.replaced else None,
                "station": made.station,
                "made_at": made.made_at,
                "units": made.units,
                "audit_problems": list(made.audit_problems),
            }
        )
        return
    click.echo(
        f"Restored {made.units} units of station {made.station}, as of {format_time(made.made_at)}, to {made.data_dir}."
    )
    print_replaced(made.data_dir, made.replaced)
    for problem in made.audit_problems:
        click.echo(f"warning: the audit log was not whole when the backup was made: {problem}", err=True)
    click.echo("What was revoked since then must be revoked again: docs/operator.md, Backup and restore.")


def _passphrase(file: IO[str] | None, *, twice: bool) -> str:
    if file is not None:
        passphrase = read_secret_line(file)
    elif sys.stdin.isatty():
        passphrase = click.prompt("Passphrase", hide_input=True, confirmation_prompt=twice, err=True)
    else:
        raise click.UsageError("there is no terminal to ask for the passphrase: give --passphrase-file")
    check_passphrase(passphrase)
    return passphrase


@contextmanager
def _show_progress() -> Iterator[Progress]:
    """Bars on standard error, where that is a terminal."""
    console = Console(stderr=True)
    with Bars(console=console, disable=not console.is_terminal, transient=True) as bars:
        tasks: dict[str, TaskID] = {}

        def progress(what: str, done: int, of: int) -> None:
            if what not in tasks:
                tasks[what] = bars.add_task(what)
            bars.update(tasks[what], completed=done, total=of)

        yield progress
