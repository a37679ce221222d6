"""`birthmark-station backup` writes the whole station to one age file; `restore` makes a station from it."""

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

from shared.errors import BirthmarkError
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
from station.setup.backup.age_file import IDENTITY_BYTES_MAX, Identities, Passphrase, Recipients
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
@click.option(
    "--recipient",
    "recipients",
    multiple=True,
    metavar="PUBLIC-KEY",
    help="Encrypt for this key, age1…, ssh-ed25519 … or ssh-rsa …, in place of a passphrase. May be given again.",
)
@AS_JSON
def backup(
    data_dir: Path, file: Path, passphrase_file: IO[str] | None, recipients: tuple[str, ...], as_json: bool
) -> None:
    """Write the whole station, secrets included, to FILE, a tar file encrypted with age. Sessions may go on."""
    if passphrase_file and recipients:
        raise click.UsageError("a backup is for a passphrase or for recipients, not for both")
    lock = Recipients.parse(recipients) if recipients else _passphrase(passphrase_file, new=True)
    with _show_progress() as progress:
        made = backups.backup(data_dir, file, lock, progress)
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
    opener = "the key that opens it" if recipients else "its passphrase"
    click.echo(f"Keep it and {opener} in different places: together they are the authority.")


@click.command()
@NEW_DATA_DIR
@_FILE
@_PASSPHRASE_FILE
@click.option(
    "--identity",
    type=click.File("rb"),
    help="A recipient's private key: the file that age-keygen wrote, or an SSH key; `-` for standard input.",
)
@FORCE
@AS_JSON
def restore(
    data_dir: Path,
    file: Path,
    passphrase_file: IO[str] | None,
    identity: IO[bytes] | None,
    force: bool,
    as_json: bool,
) -> None:
    """Make a data directory from a backup, whole or not at all.

    The station that the backup was made of must no longer run.
    """
    if passphrase_file and identity:
        raise click.UsageError("a backup opens with a passphrase or with an identity, not with both")
    key = Identities.parse(_read(identity)) if identity else _passphrase(passphrase_file, new=False)
    with _show_progress() as progress:
        made = backups.restore(file, data_dir, key, progress, force=force)
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


def _read(identity: IO[bytes]) -> bytes:
    content = identity.read(IDENTITY_BYTES_MAX + 1)
    if len(content) > IDENTITY_BYTES_MAX:
        raise BirthmarkError("backup.identity-unusable", f"it has more than {IDENTITY_BYTES_MAX} bytes")
    return content


def _passphrase(file: IO[str] | None, *, new: bool) -> Passphrase:
    if file is not None:
        passphrase = read_secret_line(file)
    elif sys.stdin.isatty():
        passphrase = click.prompt("Passphrase", hide_input=True, confirmation_prompt=new, err=True)
    else:
        other = "--recipient" if new else "--identity"
        raise click.UsageError(f"there is no terminal to ask for the passphrase: give --passphrase-file or {other}")
    check_passphrase(passphrase)
    return Passphrase(passphrase)


@contextmanager
def _show_progress() -> Iterator[Progress]:
    """Show progress bars on standard error if it is a terminal."""
    console = Console(stderr=True)
    with Bars(console=console, disable=not console.is_terminal, transient=True) as bars:
        tasks: dict[str, TaskID] = {}

        def progress(what: str, done: int, of: int) -> None:
            if what not in tasks:
                tasks[what] = bars.add_task(what)
            bars.update(tasks[what], completed=done, total=of)

        yield progress
