"""How many refusals of one port the audit log takes. Where the rows go is not known here."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

BURST: Final = 60
"""Refusals in a row that each get an audit row: more faulty units than anybody plugs into one port at a time."""

SECONDS_EACH: Final = 30.0
"""After a burst one more row each half minute: 2,880 a day, some 1.5 MB. On a line that stays open the pause after a
refusal keeps it below that; this is for a device that unplugs itself to be let in at once."""

_PORTS_MAX: Final = 1024


class RefusalLimiter:
    """Counts, for each port, what may be recorded and what could not be."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._ports: dict[str, tuple[float, float, int]] = {}  # rows left, as of, refusals without a row

    def suppressed(self, port: str) -> int | None:
        """For one more refusal: None when it gets no row, else how many before it got none."""
        now = self._clock()
        left, since, missed = self._ports.pop(port, (BURST, now, 0))
        left = min(BURST, left + (now - since) / SECONDS_EACH)
        allowed = left >= 1
        self._ports[port] = (left - 1, now, 0) if allowed else (left, now, missed + 1)
        if len(self._ports) > _PORTS_MAX:
            self._ports.pop(next(iter(self._ports)))  # the one that was refused longest ago
        return missed if allowed else None
