"""What the agent's commands share: the options for the state directory and the TPM, and the camera they name."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Final

import click

from device_agent.camera import Camera
from device_agent.storage.state_dir import DEFAULT_STATE_DIR
from device_agent.tpm.source import DEFAULT_TPM
from runtime.owner import acting_as, owner_of

STATE_DIR: Final = click.option(
    "--state-dir",
    type=click.Path(path_type=Path, readable=False),  # check_state_dir says who may read it
    default=DEFAULT_STATE_DIR,
    show_default=True,
    envvar="BIRTHMARK_STATE_DIR",
    help="The agent's state directory (or BIRTHMARK_STATE_DIR).",
)
TPM: Final = click.option(
    "--tpm",
    default=DEFAULT_TPM,
    show_default=True,
    envvar="BIRTHMARK_TPM",
    help="device:/dev/tpmrm0, simulator, or another TCTI such as swtpm:path=SOCKET (or BIRTHMARK_TPM).",
)
OTHER_TPM: Final = click.option(
    "--tpm", help="The TPM, where it is not the simulator or the chip that the identity names."
)


@contextmanager
def open_camera(state_dir: Path, tpm: str | None) -> Iterator[Camera]:
    """Open the camera. Root acts as the owner of its state directory meanwhile."""
    with acting_as(owner_of(state_dir)), Camera.open(state_dir, tpm) as camera:
        yield camera


@contextmanager
def ended_by_signals() -> Iterator[None]:
    """Turn SIGTERM into an exception, so that what the agent started ends with it. The disk is safe at any moment."""

    def end(number: int, _frame: FrameType | None) -> None:
        raise SystemExit(128 + number)

    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
