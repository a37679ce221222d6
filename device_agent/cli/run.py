"""`birthmark-agent run`: waits for a station, and becomes a camera."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import Final

import click

from device_agent.board.display import Display
from device_agent.board.led import find_led
from device_agent.cli.common import STATE_DIR, TPM, ended_by_signals
from device_agent.cli.status import summary
from device_agent.doctor.checks import codes, examine
from device_agent.doctor.machine import Machine
from device_agent.session.agent import Agent, Options
from device_agent.session.service import Timeouts, serve, serve_once
from device_agent.storage.lasting import check_lasting
from device_agent.storage.state_dir import lock_state_dir, prepare_state_dir
from device_agent.tpm.source import APPEARING_SECONDS, TpmSource
from runtime.commands import AS_JSON, print_json
from runtime.owner import become, owner_of
from shared import limits
from shared.errors import BirthmarkError

_CHIP: Final = "device:"


@click.command()
@click.option(
    "--port", type=click.Path(path_type=Path), required=True, envvar="BIRTHMARK_PORT", help="The serial port."
)
@STATE_DIR
@TPM
@click.option(
    "--nuc-map",
    type=click.Path(path_type=Path),
    envvar="BIRTHMARK_NUC_MAP",
    help="The sensor's NUC map. Needed once: it is then kept sealed, and THIS FILE IS REMOVED; keep a copy elsewhere.",
)
@click.option(
    "--keep-nuc-map", is_flag=True, help="Leave the file of --nuc-map where it is, readable by whoever has the card."
)
@click.option("--serial", envvar="BIRTHMARK_SERIAL", help="The board's serial number, instead of the device tree's.")
@click.option("--model", envvar="BIRTHMARK_MODEL", help="The board's model, instead of the device tree's.")
@click.option(
    "--root-certificate",
    type=click.Path(path_type=Path),
    envvar="BIRTHMARK_ROOT_CERTIFICATE",
    help="The one root to trust; without it the first station's is remembered.",
)
@click.option(
    "--intermediate-certificate",
    type=click.Path(path_type=Path),
    envvar="BIRTHMARK_INTERMEDIATE_CERTIFICATE",
    help="The intermediate to trust under that root. Only one without extended key usages needs it: an imported one.",
)
@click.option(
    "--allow-volatile",
    is_flag=True,
    envvar="BIRTHMARK_ALLOW_VOLATILE",
    help="Store the identity even where it is lost at power-off: on a tmpfs, or on an overlay root.",
)
@click.option("--once", is_flag=True, help="End after one session, with its result.")
@click.option("--until-provisioned", is_flag=True, help="End after the first session that ends well.")
@click.option("--wait", type=click.FloatRange(min=0, min_open=True), help="Seconds to wait for a station's first word.")
@click.option(
    "--step-seconds",
    type=click.FloatRange(min=0, min_open=True),
    default=limits.STEP_SECONDS,
    show_default=True,
    help="Seconds to wait for each answer.",
)
@AS_JSON
def run(
    port: Path,
    state_dir: Path,
    tpm: str,
    nuc_map: Path | None,
    keep_nuc_map: bool,
    serial: str | None,
    model: str | None,
    root_certificate: Path | None,
    intermediate_certificate: Path | None,
    allow_volatile: bool,
    once: bool,
    until_provisioned: bool,
    wait: float | None,
    step_seconds: float,
    as_json: bool,
) -> None:
    """Wait for a station on the port, prove this unit's identity, and store what the station sends.

    Progress goes to stderr. Root becomes the owner of the state directory. Once a station has recorded this unit, the
    file of --nuc-map is removed. While that file is missing it waits, and tells a station so; with --once it ends.

    Exit status with --once: 0 provisioned, 75 try again, 1 refused or impossible.
    """
    if intermediate_certificate is not None and root_certificate is None:
        raise click.UsageError("--intermediate-certificate needs --root-certificate.")
    become(owner_of(state_dir))
    prepare_state_dir(state_dir)
    options = Options(
        state_dir=state_dir,
        tpm=tpm,
        nuc_map=nuc_map,
        keep_nuc_map=keep_nuc_map,
        serial=serial,
        root_certificate=root_certificate,
        model=model,
        intermediate_certificate=intermediate_certificate,
        wait_for_map=not once,
    )
    machine = Machine(state_dir=state_dir, tpm=tpm, nuc_map=nuc_map)
    timeouts = Timeouts(wait, step_seconds)
    with ended_by_signals(), lock_state_dir(state_dir), closing(find_led()) as led:
        display = Display(led)
        appearing_seconds = 0.0 if once else APPEARING_SECONDS
        try:
            # A simulator's keys lie in the same place, so nothing outlives them; a chip's identity must.
            if tpm.startswith(_CHIP) and not allow_volatile:
                check_lasting(state_dir)
            with closing(TpmSource(tpm, state_dir, appearing_seconds, display.waiting_for)) as source:
                agent = Agent(
                    options,
                    source,
                    say=display.say,
                    findings=lambda: codes(examine(machine)),
                    lacking=display.lacking,
                )
                if once:
                    identity = serve_once(port, agent, display.progress, timeouts)
                else:
                    identity = serve(
                        port, agent, display.progress, display.failed, timeouts, until_provisioned=until_provisioned
                    )
        except BirthmarkError as error:
            display.ended(error)
            raise
        display.provisioned(identity)
        if as_json:
            print_json(summary(identity))
