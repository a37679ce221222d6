"""The serial port: opens it raw and exclusively, and reads and writes in bounded time."""

from __future__ import annotations

import errno
import os
import termios
import time
from contextlib import suppress
from pathlib import Path
from typing import Final

import serial

from shared.errors import BirthmarkError

_BAUD: Final = 115200  # USB ignores it, a real UART needs it
_READ_BYTES: Final = 64 * 1024
_DRAIN_SECONDS: Final = 1.0
_LOST: Final = (serial.SerialException, OSError, termios.error)
"""Errors of the library and the system for a lost port; termios.error is no OSError."""


class Link:
    """An open port. Opening raises `link.no-port`, `link.busy`, `link.permission` or `link.not-a-port`."""

    def __init__(self, path: Path) -> None:
        try:
            # The library opens the port non-blocking, sets raw mode, and discards earlier input.
            self._port = serial.Serial(str(path), _BAUD, exclusive=True)
        except (*_LOST, ValueError) as error:
            raise _open_error(path, error) from error

    def read(self, seconds: float) -> bytes:
        """Return bytes as soon as some arrive; empty after `seconds`. Raises `link.lost`."""
        try:
            self._port.timeout = seconds
            first: bytes = self._port.read(1)
            if not first:
                return b""
            return first + self._port.read(min(self._port.in_waiting, _READ_BYTES))
        except (*_LOST, TypeError) as error:  # TypeError: closed by another thread
            raise BirthmarkError("link.lost", _reason(error)) from error

    def write(self, data: bytes, seconds: float) -> None:
        """Write `data`.

        Raises `link.lost`, or `link.unread` when the other end has not read all of it after `seconds`.
        """
        try:
            self._port.write_timeout = seconds
            self._port.write(data)
        except serial.SerialTimeoutException as error:
            raise BirthmarkError("link.unread", f"for {seconds:g} s") from error
        except _LOST as error:
            raise BirthmarkError("link.lost", _reason(error)) from error

    def close(self) -> None:
        """Close once the output, such as a Refusal, is sent; output that nobody reads for a second is discarded."""
        give_up = time.monotonic() + _DRAIN_SECONDS
        with suppress(*_LOST):  # the other end hung up: nothing is left to send
            while self._port.out_waiting:
                if time.monotonic() > give_up:
                    self._port.reset_output_buffer()  # otherwise the kernel delays the close for much longer
                    break
                time.sleep(0.01)
        self._port.close()


def _open_error(path: Path, error: Exception) -> BirthmarkError:
    """Choose the error. The library does not always keep the error number, so the path is checked too."""
    number = getattr(error, "errno", None)
    if number in (errno.EACCES, errno.EPERM):
        return BirthmarkError("link.permission", str(path))
    if number in (errno.EBUSY, errno.EAGAIN) or "lock" in str(error):
        return BirthmarkError("link.busy", str(path))
    if number in (errno.ENOENT, errno.ENODEV, errno.ENXIO, errno.EIO) or not os.path.exists(path):
        return BirthmarkError("link.no-port", str(path))
    return BirthmarkError("link.not-a-port", str(path))


def _reason(error: Exception) -> str:
    """Return the system's message for an OSError, empty for others."""
    return error.strerror or "" if isinstance(error, OSError) else ""
