"""The serial port: opened raw and for us alone, read and written in bounded time. Knows nothing of what crosses it."""

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

_BAUD: Final = 115200  # meaningless on USB, needed by a real UART
_READ_BYTES: Final = 64 * 1024
_LEAVE_SECONDS: Final = 1.0
_LOST: Final = (serial.SerialException, OSError, termios.error)
"""How the library and the system say that a port has gone; termios has an error of its own that is no OSError."""


class Link:
    """An open port. Raises `link.no-port`, `link.busy`, `link.permission` or `link.not-a-port` when it cannot be."""

    def __init__(self, path: Path) -> None:
        try:
            # The library opens it non-blocking, sets raw mode, and flushes what came before.
            self._port = serial.Serial(str(path), _BAUD, exclusive=True)
        except (*_LOST, ValueError) as error:
            raise _open_error(path, error) from error

    def read(self, seconds: float) -> bytes:
        """What there is, as soon as there is something; empty after `seconds`. Raises `link.lost`."""
        try:
            self._port.timeout = seconds
            first: bytes = self._port.read(1)
            if not first:
                return b""
            return first + self._port.read(min(self._port.in_waiting, _READ_BYTES))
        except (*_LOST, TypeError) as error:  # TypeError: closed under its feet
            raise BirthmarkError("link.lost", _reason(error)) from error

    def write(self, data: bytes, seconds: float) -> None:
        """Raises `link.lost`, or `link.silent` when the other end has not taken all of it after `seconds`."""
        try:
            self._port.write_timeout = seconds
            self._port.write(data)
        except serial.SerialTimeoutException as error:
            raise BirthmarkError("link.silent", "it takes no bytes") from error
        except _LOST as error:
            raise BirthmarkError("link.lost", _reason(error)) from error

    def close(self) -> None:
        """Once the last words, which may say why, have left; what nobody takes for a second is discarded."""
        give_up = time.monotonic() + _LEAVE_SECONDS
        with suppress(*_LOST):  # it hung up already: there is nothing left to wait for
            while self._port.out_waiting:
                if time.monotonic() > give_up:
                    self._port.reset_output_buffer()  # or the kernel would hold up the close for much longer
                    break
                time.sleep(0.01)
        self._port.close()


def _open_error(path: Path, error: Exception) -> BirthmarkError:
    """The library keeps the error number in some cases only, so the path is looked at too."""
    number = getattr(error, "errno", None)
    if number in (errno.EACCES, errno.EPERM):
        return BirthmarkError("link.permission", str(path))
    if number in (errno.EBUSY, errno.EAGAIN) or "lock" in str(error):
        return BirthmarkError("link.busy", str(path))
    if number in (errno.ENOENT, errno.ENODEV, errno.ENXIO, errno.EIO) or not os.path.exists(path):
        return BirthmarkError("link.no-port", str(path))
    return BirthmarkError("link.not-a-port", str(path))


def _reason(error: Exception) -> str:
    """The system's word for it, if it was the system that said so."""
    return error.strerror or "" if isinstance(error, OSError) else ""
