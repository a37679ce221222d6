"""Limits how many refusals of one port go into the audit log."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

BURST: Final = 60
"""Refusals that get an audit row at once: more faulty units than anybody plugs into one port in a row."""

SECONDS_EACH: Final = 30.0
"""After a burst, a port gets one row each half minute: 2,880 a day, some 1.5 MB. This limits a device that unplugs
itself to skip the pause after a refusal; on a port that stays open the pause alone keeps the rate lower."""

_PORTS_MAX: Final = 1024


class RefusalLimiter:
    """Counts for each port the audit rows left, and the refusals without a row."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._ports: dict[str, tuple[float, float, int]] = {}  # rows left, since when, refusals without a row

    def suppressed(self, port: str) -> int | None:
        """Count one more refusal. None when it gets no row, else how many refusals before it got none."""
        now = self._clock()
        left, since, missed = self._ports.pop(port, (BURST, now, 0))
        left = min(BURST, left + (now - since) / SECONDS_EACH)
        allowed = left >= 1
        self._ports[port] = (left - 1, now, 0) if allowed else (left, now, missed + 1)
        if len(self._ports) > _PORTS_MAX:
            self._ports.pop(next(iter(self._ports)))  # the port whose last refusal is oldest
        return missed if allowed else None
