"""How long the tests and the demo wait for what must happen: the one place for it.

A wait ends when the thing happens, so a long one costs nothing until something is broken. Each is longer than what it
waits for may take by the product's own limits (tests/unit/virtual/test_timeouts.py): what is broken is then told by the
product, with its code, and a busy machine is not taken for a broken one.
"""

from __future__ import annotations

from typing import Final

GREETING_SECONDS: Final = 90.0
"""For a station's first word: it greets every second, but may be busy with other ports, or still starting."""

TIMEOUT_SECONDS: Final = 300.0
"""For everything else: a program's start, one command, a whole session, a program's end."""

WAIT_OPTIONS: Final = ("--wait", f"{GREETING_SECONDS:g}")
"""Options of `birthmark-agent run`."""
