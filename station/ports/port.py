"""Serves one serial port: opens it, holds sessions on it, and opens it again after it hangs up."""

from __future__ import annotations

import asyncio
import errno
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import serialx

from shared.errors import BirthmarkError
from station.config import SessionConfig
from station.events import Bus, PortChanged, PortGone, PortState
from station.ports.conversation import UNPLUGGED_NOTE, Conversation
from station.ports.restraint import Restraint
from station.provisioning.cable import CableProvisioner

log = logging.getLogger(__name__)

_BAUD: Final = 115200  # meaningless on USB, needed by a real UART
_READ_BYTES: Final = 64 * 1024
_REOPEN_SECONDS: Final = 0.5
_DONE_SECONDS: Final = 5.0
"""Pause before the next Hello after a finished session: most units are unplugged first, which ends the pause."""
_REFUSED_SECONDS: Final = 2.0
_REFUSED_SECONDS_MAX: Final = 60.0
_DISCARD_SECONDS: Final = 0.25
"""Pause between two reads of a line during a pause: a device that floods it must wait for its own full buffer."""


class _SerialLine:
    """An open port as `conversation.SerialLine`."""

    def __init__(self, reader: asyncio.StreamReader, writer: serialx.SerialStreamWriter[Any]) -> None:
        self._reader = reader
        self._writer = writer
        writer.transport.set_write_buffer_limits(high=0)  # drain() then means sent

    async def read(self) -> bytes:
        data = await self._reader.read(_READ_BYTES)
        if not data:
            raise OSError(errno.EIO, "hung up")
        return data

    async def write(self, data: bytes) -> None:
        self._writer.write(data)
        await self._writer.drain()

    def unsent(self) -> bool:
        return bool(self._writer.transport.get_write_buffer_size())


@asynccontextmanager
async def open_line(path: Path) -> AsyncIterator[_SerialLine]:
    """Open the port, raw and exclusively. Raises `link.no-port`, `link.busy`, `link.permission`, `link.not-a-port`."""
    try:
        reader, writer = await serialx.open_serial_connection(str(path), baudrate=_BAUD)
    except OSError as error:
        raise _open_error(path, error) from error
    try:
        yield _SerialLine(reader, writer)
    finally:
        writer.close()
        try:
            async with asyncio.timeout(1):
                await writer.wait_closed()
        except OSError as error:  # it hung up, which is why the block ended
            log.debug("%s: closed with %s", path, error)


def _open_error(path: Path, error: OSError) -> BirthmarkError:
    match error.errno:
        case errno.EBUSY | errno.EAGAIN:
            return BirthmarkError("link.busy", str(path))
        case errno.EACCES | errno.EPERM:
            return BirthmarkError("link.permission", str(path))
        case errno.ENOTTY | errno.EISDIR | errno.EINVAL:
            return BirthmarkError("link.not-a-port", str(path), "station")
        case _:
            return BirthmarkError("link.no-port", f"{path}: {error.strerror or error}", "station")


async def serve_port(
    path: Path, provisioner: CableProvisioner, bus: Bus, config: SessionConfig, restraint: Restraint | None = None
) -> None:
    """Provision whatever is plugged into `path`, one unit after another, until cancelled."""
    port = str(path)
    restraint = restraint or Restraint()
    try:
        while True:
            if (seconds := restraint.seconds(port)) > 0:
                bus.tell(
                    PortChanged(port, PortState.WAITING, note=f"Hung up too often: left alone for {seconds:.0f} s")
                )
                await asyncio.sleep(seconds)
            try:
                async with open_line(path) as line:
                    bus.tell(PortChanged(port, PortState.WAITING, note="Waiting for a unit"))
                    await _serve_line(line, port, provisioner, bus, config, restraint)
            except BirthmarkError as error:
                bus.tell(PortChanged(port, PortState.ABSENT, note=f"{error.sentence}. {error.advice}", code=error.code))
            except OSError as error:
                log.info("%s: hung up (%s)", port, error)
            except Exception:
                log.exception("%s: a bug; the other ports are not to suffer from it", port)
            await asyncio.sleep(_REOPEN_SECONDS)
    except asyncio.CancelledError:
        # udev may report that a port is gone before the line does; the session is then cancelled.
        if _vanished(path):
            _tell_unplugged(port, bus)
        raise
    finally:
        bus.tell(PortGone(port))


def _vanished(path: Path) -> bool:
    return not path.exists()


def _tell_unplugged(port: str, bus: Bus) -> None:
    """Report a session as failed that was running when its port vanished."""
    for known in bus.ports():
        if known.port == port and known.state is PortState.WORKING:
            bus.tell(replace(known, state=PortState.FAILED, note=UNPLUGGED_NOTE, code="link.lost"))


async def _serve_line(
    line: _SerialLine, port: str, provisioner: CableProvisioner, bus: Bus, config: SessionConfig, restraint: Restraint
) -> None:
    """Hold sessions on one open line until it hangs up. Pauses after each, longer after each refusal in a row.

    Counts a hang-up in a session, and one in the pause after it unless a new unit was provisioned.
    """
    pause = _REFUSED_SECONDS
    while True:
        conversation = Conversation(line, port, provisioner, bus, config)
        owes_a_pause = False
        try:
            try:
                unit = await conversation.run()
                log.info("%s: %s is provisioned", port, unit.serial)
                pause = _REFUSED_SECONDS
                owes_a_pause = conversation.resumed
                await _discard(line, _DONE_SECONDS)
            except BirthmarkError as error:
                log.warning("%s: refused: %s", port, error)
                owes_a_pause = True
                await _discard(line, pause)
                pause = min(pause * 2, _REFUSED_SECONDS_MAX)
        except (OSError, asyncio.CancelledError):  # udev may be faster than the line
            if owes_a_pause or conversation.underway:
                restraint.hung_up(port)
            raise


async def _discard(line: _SerialLine, seconds: float) -> None:
    """Discard what an open line sends for `seconds`. Raises OSError as soon as it hangs up."""
    try:
        async with asyncio.timeout(seconds):
            while True:
                await line.read()
                await asyncio.sleep(_DISCARD_SECONDS)
    except TimeoutError:
        return
