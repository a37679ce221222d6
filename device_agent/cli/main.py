"""The command group of all the agent's commands, each imported when it is used: a TPM library takes a Pi seconds."""

from __future__ import annotations

import logging
from typing import Final

import click

from runtime.commands import CommandGroup, LaterCommand

COMMANDS: Final = (
    ("setup", "device_agent.cli.setup:setup", "Make this Pi ready to be plugged into a station."),
    ("doctor", "device_agent.cli.doctor:doctor", "Say what this Pi lacks to be provisioned, and what to do."),
    ("run", "device_agent.cli.run:run", "Wait for a station, and become a camera."),
    ("gadget", "device_agent.cli.gadget:gadget", "Make this Pi a USB device with a serial port."),
    ("nuc", "device_agent.cli.nuc:nuc", "The sensor's NUC map: its hash is this unit's fingerprint."),
    ("status", "device_agent.cli.status:status", "Show this unit's identity."),
    ("reset", "device_agent.cli.status:reset", "Remove this unit's identity: its certificate and key tables."),
    ("token", "device_agent.cli.camera:token", "Print a fresh NUC token: the JSON of Birthmark's `camera_token`."),
    ("sign", "device_agent.cli.camera:sign", "Sign a file with the device key."),
    ("export", "device_agent.cli.camera:export", "Write Birthmark's `provisioning.json` without the TPM's keys."),
)


@click.group(cls=CommandGroup)
@click.version_option(package_name="birthmark-provisioning")
@click.option("--verbose", is_flag=True, help="Log what happens in detail, with tracebacks.")
def main(verbose: bool) -> None:
    """The agent on a Raspberry Pi: makes its keys in the TPM, is provisioned over USB, and is a camera from then on."""
    logging.basicConfig(
        level=logging.DEBUG if verbose else logging.WARNING, format="%(levelname)s %(name)s: %(message)s"
    )


for _command in COMMANDS:
    main.add_command(LaterCommand(*_command))
