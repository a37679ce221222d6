"""Makes a device wait that hangs up in its sessions over and over, so that it does not keep the station busy.

A pause on the open line (`port`) does not hold a device that unplugs itself, and one that is known already can begin as
many sessions as it likes. So each port may hang up on a session ten times at once, and then once each ten seconds. A
unit that was unplugged by mistake waits for nothing, and after any number of others for at most ten seconds.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

BURST: Final = 10
SECONDS_EACH: Final = 10.0

_PORTS_MAX: Final = 1024


class Restraint:
    """Counts for each port how many sessions it may still hang up on."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._ports: dict[str, tuple[float, float]] = {}  # hang-ups left, since when

    def hung_up(self, port: str) -> None:
        """Count a session on which the device hung up, or after which it did not wait."""
        left = self._left(port) - 1
        self._ports.pop(port, None)
        self._ports[port] = (left, self._clock())
        if len(self._ports) > _PORTS_MAX:
            self._ports.pop(next(iter(self._ports)))  # the port that hung up longest ago

    def seconds(self, port: str) -> float:
        """How long to leave the port alone: 0 to 10 s."""
        return max(0.0, -self._left(port) * SECONDS_EACH)

    def _left(self, port: str) -> float:
        left, since = self._ports.get(port, (float(BURST), 0.0))
        return min(float(BURST), left + (self._clock() - since) / SECONDS_EACH)
