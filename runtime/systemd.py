"""Talks to systemd: sends sd_notify(3), takes sockets of sd_listen_fds(3) and credentials of systemd.exec(5).

Does nothing in a process that systemd did not start.
"""

from __future__ import annotations

import os
import socket
from pathlib import Path
from typing import Final

from shared.errors import BirthmarkError
from shared.text import printable

_FIRST_DESCRIPTOR: Final = 3
_SOCKETS_MAX: Final = 16


def notify(status: str = "", *, ready: bool = False, stopping: bool = False, watchdog: bool = False) -> None:
    """Notify the service manager that `NOTIFY_SOCKET` names, if any. `status` is a sentence for `systemctl status`.

    Ignores a manager that cannot be reached: the manager's own time-outs act on the silence.
    """
    words = [word for word, said in (("READY=1", ready), ("STOPPING=1", stopping), ("WATCHDOG=1", watchdog)) if said]
    if status:
        words.append("STATUS=" + printable(status))
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not words or not address.startswith(("/", "@")):
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as manager:
        manager.setblocking(False)
        try:
            manager.sendto("\n".join(words).encode(), "\0" + address[1:] if address[0] == "@" else address)
        except OSError:
            return


def inherited_sockets() -> list[socket.socket]:
    """Return the listening sockets that systemd opened for this process.

    Raises `http.cannot-listen` for other sockets.
    """
    count = os.environ.get("LISTEN_FDS", "")
    if not count or not meant_for_us("LISTEN_PID"):
        return []
    if not count.isascii() or not count.isdigit() or not 0 < int(count) <= _SOCKETS_MAX:
        raise BirthmarkError(
            "http.cannot-listen", f"systemd passes {printable(count)} sockets, not 1 to {_SOCKETS_MAX}"
        )
    return [_listening(_FIRST_DESCRIPTOR + number) for number in range(int(count))]


def _listening(descriptor: int) -> socket.socket:
    try:
        inherited = socket.socket(fileno=descriptor)
        listening = inherited.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
    except OSError as error:
        raise BirthmarkError("http.cannot-listen", f"the socket from systemd: {error.strerror}") from error
    if not listening:
        raise BirthmarkError("http.cannot-listen", "the socket from systemd does not listen")
    inherited.set_inheritable(False)
    inherited.setblocking(False)
    return inherited


def credential(name: str) -> Path | None:
    """Return the credential's file, in a directory that only this service can read; None if systemd passed none."""
    directory = os.environ.get("CREDENTIALS_DIRECTORY", "")
    path = Path(directory) / name
    return path if directory and path.is_file() else None


def meant_for_us(variable: str) -> bool:
    """Whether `variable` names this process; `WATCHDOG_PID` may be absent."""
    named = os.environ.get(variable, "")
    return named == str(os.getpid()) or (not named and variable == "WATCHDOG_PID")
