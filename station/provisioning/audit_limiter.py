"""Limits how many rows one port's device can put into the audit log by being refused, or by coming back as known."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

BURST: Final = 60
"""Rows at once: more faulty units than anybody plugs into one port in a row."""

SECONDS_EACH: Final = 30.0
"""After a burst, a port gets one row each half minute: 2,880 a day, some 1.5 MB. What a new unit writes, when its
certificate is reserved, issued and confirmed, is not limited: no TPM is new twice."""

_PORTS_MAX: Final = 1024


class AuditLimiter:
    """Counts for each port the audit rows left, and the events without a row."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._ports: dict[str, tuple[float, float, int]] = {}  # rows left, since when, events without a row

    def suppressed(self, port: str) -> int | None:
        """Count one more event. None when it gets no row, else how many events before it got none."""
        now = self._clock()
        left, since, missed = self._ports.pop(port, (BURST, now, 0))
        left = min(BURST, left + (now - since) / SECONDS_EACH)
        allowed = left >= 1
        self._ports[port] = (left - 1, now, 0) if allowed else (left, now, missed + 1)
        if len(self._ports) > _PORTS_MAX:
            self._ports.pop(next(iter(self._ports)))  # the port whose last event is oldest
        return missed if allowed else None
