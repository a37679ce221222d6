"""An address of this machine that is not loopback: to the station it is another machine's."""

from __future__ import annotations

import socket

import pytest


def other_address() -> str:
    """Return the address. Skips the test on a machine with loopback only."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
        try:
            asking.connect(("192.0.2.1", 9))
        except OSError:
            pytest.skip("this machine has loopback only")
        return str(asking.getsockname()[0])
