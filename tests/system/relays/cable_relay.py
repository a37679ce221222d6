"""In an arm64 guest: carries the host's end of its own USB cable out, to a station. cable_relay.py TTY PORT."""

from __future__ import annotations

import os
import select
import sys
import termios
import time
import tty


def carry(terminal: int, port: int) -> None:
    """Carry bytes both ways until the cable is pulled. Raises OSError then."""
    tty.setraw(terminal, termios.TCSANOW)
    while True:
        for source in select.select([terminal, port], [], [])[0]:
            data = os.read(source, 4096)
            if not data and source == terminal:
                raise OSError("the cable was pulled")
            if not data:  # nobody has the other end of the port
                time.sleep(0.1)
            while data:
                data = data[os.write(port if source == terminal else terminal, data) :]


def main() -> None:
    port = os.open(sys.argv[2], os.O_RDWR)
    while True:
        try:
            terminal = os.open(sys.argv[1], os.O_RDWR | os.O_NOCTTY)
        except OSError:
            time.sleep(0.2)
            continue
        try:
            carry(terminal, port)
        except OSError:
            os.close(terminal)
            time.sleep(0.2)


if __name__ == "__main__":
    main()
