"""`birthmark-agent setup`: asks for what is needed before a Pi can be plugged in, and prints what is done."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path, PurePosixPath

import click

from device_agent.setup.steps import Answers, Report, root_known, set_up
from device_agent.setup.system import System
from runtime.commands import AS_JSON, print_json
from shared.errors import BirthmarkError

_FILE = click.Path(path_type=Path, exists=True, dir_okay=False)


def _overlay(_context: click.Context, _parameter: click.Parameter, value: str) -> str | None:
    if value == "none":
        return None
    if not re.fullmatch(r"[A-Za-z0-9_-]{1,40}(,[A-Za-z0-9_=-]{1,40}){0,4}", value):
        raise click.BadParameter("give the name of an overlay, such as tpm-slb9670, or none")
    return value


@click.command()
@click.option("--root", type=_FILE, help="root.pem of your station: the one root certificate this Pi is to trust.")
@click.option(
    "--intermediate",
    type=_FILE,
    help="intermediate.pem of the same station, if that took over another authority: the import says so.",
)
@click.option("--trust-first-station", is_flag=True, help="Instead of --root: trust whoever provisions this Pi first.")
@click.option("--nuc-map", type=_FILE, help="The NUC map of this Pi's own sensor, if it was captured before.")
@click.option(
    "--tpm-overlay",
    default="tpm-slb9670",
    show_default=True,
    callback=_overlay,
    metavar="NAME|none",
    help="The overlay of the TPM's hat in config.txt.",
)
@click.option("--no-usb-overlay", is_flag=True, help="Leave the USB controller's mode in config.txt as it is.")
@click.option("--reboot/--no-reboot", default=None, help="Restart at the end, if that is needed.")
@click.option("--yes", is_flag=True, help="Replace what is there, and ask nothing.")
@click.option(
    "--prefix",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    default=Path("/"),
    help="Set up an image: the directory with its root file system.",
)
@click.option("--config-txt", type=click.Path(path_type=PurePosixPath), help="config.txt, where it is not in /boot.")
@click.option("--tpm", help="Look at this TPM (a TCTI) in place of /dev/tpmrm0.")
@AS_JSON
def setup(
    root: Path | None,
    intermediate: Path | None,
    trust_first_station: bool,
    nuc_map: Path | None,
    tpm_overlay: str | None,
    no_usb_overlay: bool,
    reboot: bool | None,
    yes: bool,
    prefix: Path,
    config_txt: PurePosixPath | None,
    tpm: str | None,
    as_json: bool,
) -> None:
    """Make this Pi ready to be plugged into a station: boot settings, TPM, root certificate, NUC map.

    Prints what was done and what is left to do. It may be run again at any time, and then changes nothing that is in
    place. Asks at a terminal for what no option gives.
    """
    if config_txt is not None and not config_txt.is_absolute():
        raise click.BadParameter("give a path that begins with /", param_hint="--config-txt")
    if trust_first_station and (root is not None or intermediate is not None):
        raise click.UsageError("--trust-first-station excludes --root and --intermediate.")
    system = System(prefix.resolve())
    if system.live and os.geteuid() != 0:
        raise BirthmarkError("setup.needs-root")
    asks = sys.stdin.isatty() and not yes
    if root is None and not trust_first_station and not root_known(system):
        if not asks:
            raise click.UsageError("Missing option '--root' (or '--trust-first-station').")
        root = click.prompt("File with your station's root certificate (root.pem)", type=_FILE, err=True)
    answers = Answers(
        root,
        trust_first_station,
        nuc_map,
        not no_usb_overlay,
        tpm_overlay,
        config_txt,
        tpm,
        _replacing(yes, asks),
        intermediate,
    )
    report = set_up(system, answers)
    if as_json:
        print_json(report)
    else:
        _tell(report, system)
    if report.restart_needed and (
        reboot or (reboot is None and asks and click.confirm("Restart now?", default=False, err=True))
    ):
        click.echo("Restarting.", err=True)
        subprocess.run(["systemctl", "reboot"], check=True)


def _replacing(yes: bool, asks: bool) -> Callable[[str], None]:
    """Return a function that asks for agreement to a replacement, at the terminal; with --yes it agrees."""

    def agree(question: str) -> None:
        if yes:
            return
        if not asks:
            raise click.UsageError(f"{question} Say so with --yes.")
        click.confirm(question, abort=True, err=True)

    return agree


def _tell(report: Report, system: System) -> None:
    for number, step in enumerate(report.steps, 1):
        click.echo(f"{number}. {step.what}: {step.outcome}. {step.text}")
    if system.live:
        click.echo("\nA restart is needed." if report.restart_needed else "\nNo restart is needed.")
    click.echo("\nNext:")
    for text in report.next:
        click.echo(f"  - {text}")
