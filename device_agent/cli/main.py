"""The command group of all the agent's commands."""

from __future__ import annotations

import logging

import click

from device_agent.cli.camera import export, sign, token
from device_agent.cli.doctor import doctor
from device_agent.cli.gadget import gadget
from device_agent.cli.nuc import nuc
from device_agent.cli.run import run
from device_agent.cli.setup import setup
from device_agent.cli.status import reset, status
from runtime.commands import CommandGroup


@click.group(cls=CommandGroup)
@click.version_option(package_name="birthmark-provisioning")
@click.option("--verbose", is_flag=True, help="Log what happens in detail, with tracebacks.")
def main(verbose: bool) -> None:
    """The agent on a Raspberry Pi: makes its keys in the TPM, is provisioned over USB, and is a camera from then on."""
    logging.basicConfig(
        level=logging.DEBUG if verbose else logging.WARNING, format="%(levelname)s %(name)s: %(message)s"
    )


for command in (setup, doctor, run, gadget, nuc, status, reset, token, sign, export):
    main.add_command(command)
