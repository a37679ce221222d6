"""Which data directory a command works on, and as whom: the service's where none is named, as the user whose it is."""

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
"""The service's, as birthmark-station.service names it."""

ENVIRONMENT: Final = "BIRTHMARK_DATA_DIR"

NEW_DATA_DIR: Final = click.option(
    "--data-dir",
    type=click.Path(path_type=Path, readable=False),
    required=True,
    envvar=ENVIRONMENT,
    help=f"The data directory to make (or {ENVIRONMENT}).",
)
"""For commands that make or replace one: it is always named."""

GIVEN_DATA_DIR: Final = click.option(
    "--data-dir",
    type=click.Path(path_type=Path, readable=False),
    envvar=ENVIRONMENT,
    help=f"The station's data directory (or {ENVIRONMENT}); without, the service's.",
)


def find(given: Path | None, instead: str = "") -> Path:
    """The directory that was named, else the service's where it is there. Raises click.UsageError when it is not.

    `instead` is another option that would do, for that error.
    """
    if given is not None:
        return given
    try:
        SERVICE_DATA_DIR.lstat()
    except PermissionError:
        return SERVICE_DATA_DIR  # whether it is there is for its user to see
    except (FileNotFoundError, NotADirectoryError):
        raise click.UsageError(
            f"Which station? There is none in {SERVICE_DATA_DIR}: make it with `sudo birthmark-station setup`, "
            f"or name another with --data-dir DIR or {ENVIRONMENT}{instead and f', or give {instead}'}."
        ) from None
    return SERVICE_DATA_DIR


def enter(given: Path | None) -> Path:
    """The directory that `find` finds; root becomes the user whose it is, for good. Raises `data.unreadable`."""
    data_dir = find(given)
    become(owner_of(data_dir))
    return data_dir


def _with(resolve: Callable[[Path | None], Path]) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """An option whose value goes through `resolve` when the command begins: what other options open is then open."""

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
"""For commands that work on a station: `data_dir` is there, and root has become its user."""

OWN_DATA_DIR: Final = _with(find)
"""For commands that also read or write elsewhere as who called them, and see to the owner themselves."""
