"""Finds the data directory that a command works on (by default the service's) and becomes its owner."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Final, ParamSpec, TypeVar

import click

from runtime.owner import become, owner_of

__all__ = ["DATA_DIR", "GIVEN_DATA_DIR", "NEW_DATA_DIR", "OWN_DATA_DIR", "SERVICE_DATA_DIR", "enter", "find"]

P = ParamSpec("P")
R = TypeVar("R")

SERVICE_DATA_DIR: Final = Path("/var/lib/birthmark-station/data")
"""The service's data directory, as birthmark-station.service names it."""

ENVIRONMENT: Final = "BIRTHMARK_DATA_DIR"

NEW_DATA_DIR: Final = click.option(
    "--data-dir",
    type=click.Path(path_type=Path, readable=False),
    required=True,
    envvar=ENVIRONMENT,
    help=f"The data directory to make (or {ENVIRONMENT}).",
)
"""For commands that make or replace a data directory: required."""

GIVEN_DATA_DIR: Final = click.option(
    "--data-dir",
    type=click.Path(path_type=Path, readable=False),
    envvar=ENVIRONMENT,
    help=f"The station's data directory (or {ENVIRONMENT}); without, the service's.",
)


def find(given: Path | None, instead: str = "") -> Path:
    """Return the given directory, else the service's. Raises click.UsageError if there is none.

    The error also advises the option `instead`.
    """
    if given is not None:
        return given
    try:
        SERVICE_DATA_DIR.lstat()
    except PermissionError:
        return SERVICE_DATA_DIR  # only its user can see whether it is there
    except (FileNotFoundError, NotADirectoryError):
        raise click.UsageError(
            f"Which station? There is none in {SERVICE_DATA_DIR}: make it with `sudo birthmark-station setup`, "
            f"or name another with --data-dir DIR or {ENVIRONMENT}{instead and f', or give {instead}'}."
        ) from None
    return SERVICE_DATA_DIR


def enter(given: Path | None) -> Path:
    """Return the directory that `find` finds; root becomes its owner for good. Raises `data.unreadable`."""
    data_dir = find(given)
    become(owner_of(data_dir))
    return data_dir


def _with(resolve: Callable[[Path | None], Path]) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Make an option that `resolve` handles when the command begins, after other options have opened their files."""

    def decorate(command: Callable[P, R]) -> Callable[P, R]:
        @functools.wraps(command)
        def run(*args: P.args, **kwargs: P.kwargs) -> R:
            given = kwargs["data_dir"]
            assert given is None or isinstance(given, Path)  # noqa: S101 - what click.Path made of it
            kwargs["data_dir"] = resolve(given)
            return command(*args, **kwargs)

        return GIVEN_DATA_DIR(run)

    return decorate


DATA_DIR: Final = _with(enter)
"""For commands that work on a station: `data_dir` exists, and root has become its owner."""

OWN_DATA_DIR: Final = _with(find)
"""For commands that also read or write elsewhere as the caller: they become the owner themselves."""
