"""What the station's commands share: the data directory's option, and times for people."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Final

import click

from shared.command import AS_JSON, Commands, print_json

__all__ = ["AS_JSON", "DATA_DIR", "Commands", "moment", "print_json"]

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
