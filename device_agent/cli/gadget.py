"""`birthmark-agent gadget`: manage the USB serial port through which a station reaches this Pi."""

from __future__ import annotations

from pathlib import Path

import click

from device_agent.board.device_tree import read_board
from device_agent.board.gadget import CONFIGFS, CONTROLLERS, Gadget, GadgetStatus
from runtime.commands import AS_JSON, print_json


@click.group()
@click.option(
    "--configfs",
    type=click.Path(path_type=Path),
    default=CONFIGFS,
    show_default=True,
    help="Where the kernel keeps USB gadgets.",
)
@click.option(
    "--controllers",
    type=click.Path(path_type=Path),
    default=CONTROLLERS,
    show_default=True,
    help="Where the kernel lists USB device controllers.",
)
@click.pass_context
def gadget(context: click.Context, configfs: Path, controllers: Path) -> None:
    """Make this Pi a USB device with a serial port, which a station finds."""
    context.obj = Gadget(configfs, controllers)


@gadget.command()
@click.option("--serial", envvar="BIRTHMARK_SERIAL", help="Where the board has none (or BIRTHMARK_SERIAL).")
@AS_JSON
@click.pass_obj
def start(made: Gadget, serial: str | None, as_json: bool) -> None:
    """Make the gadget and show it to the host; needs root. Does nothing if it is up already."""
    _print(made.start(read_board(serial).serial), as_json)


@gadget.command()
@AS_JSON
@click.pass_obj
def quiet(made: Gadget, as_json: bool) -> None:
    """Hold the USB port so that no host sees anything; needs root. Does nothing where another gadget uses it."""
    _print(made.quieten(), as_json)


@gadget.command()
@AS_JSON
@click.pass_obj
def stop(made: Gadget, as_json: bool) -> None:
    """Remove the gadget; needs root. The host sees an unplugged cable."""
    _print(made.stop(), as_json)


@gadget.command()
@AS_JSON
@click.pass_obj
def status(made: Gadget, as_json: bool) -> None:
    """Show whether the gadget is up and whether the host has configured it."""
    _print(made.status(), as_json)


def _print(status: GadgetStatus, as_json: bool) -> None:
    if as_json:
        print_json(status)
    elif status.quiet:
        click.echo(f"Quiet: {status.bound_to} is held, and no host sees anything.")
    elif status.bound_to:
        click.echo(f"Up on {status.bound_to} as {status.serial}, port {status.tty}; host: {status.host or 'unknown'}.")
    elif status.controllers:
        click.echo(f"Down. {status.controllers[0]} is there for it.")
    else:
        click.echo("Down, and there is no USB device controller (`sudo birthmark-agent doctor` says why).")
