"""The time-outs of the tests and the demo.

A wait ends when its event happens, so a long time-out costs nothing until something is broken. Each is longer than the
product's own limit for the same thing (tests/unit/virtual/test_timeouts.py), so that the product reports the error
itself, with its code, and a busy machine is not taken for a broken one.
"""

from __future__ import annotations

from typing import Final

GREETING_SECONDS: Final = 90.0
"""For a station's first Hello. It sends one every second, but may be busy with other ports, or still starting."""

TIMEOUT_SECONDS: Final = 300.0
"""For everything else: a program's start or end, one command, a whole session."""

WAIT_OPTIONS: Final = ("--wait", f"{GREETING_SECONDS:g}")
"""Options of `birthmark-agent run`."""
