"""What the service tells systemd: sd_notify(3) in a few lines. Silent where nobody listens."""

from __future__ import annotations

import os
import socket

from shared.text import shown


def notify(status: str = "", *, ready: bool = False, stopping: bool = False) -> None:
    """Tell the service manager, if `NOTIFY_SOCKET` names one; `status` is a sentence for `systemctl status`.

    A manager that cannot be reached is no reason to stop working: its own time-outs speak for it.
    """
    words = [word for word, said in (("READY=1", ready), ("STOPPING=1", stopping)) if said]
    if status:
        words.append("STATUS=" + shown(status))
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not words or not address.startswith(("/", "@")):
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as manager:
        manager.setblocking(False)
        try:
            manager.sendto("\n".join(words).encode(), "\0" + address[1:] if address[0] == "@" else address)
        except OSError:
            return
