"""Limits the rate of requests, for each kind of request and each client.

Generic cell rate algorithm (ITU-T I.371): stores for each client only when its next request is due.
"""

from __future__ import annotations

import ipaddress
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Final

import msgspec

from station.config import RatesConfig

BURST_SECONDS: Final = 10.0
"""Requests for this many seconds may come at once."""

CLIENTS_MAX: Final = 20_000
"""The most pairs of client and kind that are remembered: about 4 MB. The least recently seen is forgotten first."""


_ROUNDING_SECONDS: Final = 1e-6
"""More than the rounding error of a sum of times, and less than any wait that matters."""


class Limiter:
    """Rate limits by `kind` (a rate's name in the configuration) and client."""

    def __init__(self, rates: RatesConfig, clock: Callable[[], float] = time.monotonic) -> None:
        self._rates: Final[dict[str, float]] = msgspec.structs.asdict(rates)
        self._due: OrderedDict[tuple[str, str], float] = OrderedDict()
        self._clock = clock

    def spend(self, kind: str, client: str) -> float:
        """Count a request and return 0; over the limit, count nothing and return the seconds to wait."""
        now = self._clock()
        key = (kind, client)
        due = max(now, self._due.get(key, now)) + 1 / self._rates[kind]
        wait = due - now - max(BURST_SECONDS, 1 / self._rates[kind])
        if wait > _ROUNDING_SECONDS:
            return wait
        self._due[key] = due
        self._due.move_to_end(key)
        if len(self._due) > CLIENTS_MAX:
            self._due.popitem(last=False)
        return 0.0

    def __len__(self) -> int:
        return len(self._due)


def client_name(address: str) -> str:
    """Return the name that a client is counted under: its IPv4 address, or the /64 network of an IPv6 client."""
    try:
        parsed = ipaddress.ip_address(address.strip())
    except ValueError:
        return "unknown"
    if isinstance(parsed, ipaddress.IPv6Address):
        if parsed.ipv4_mapped:
            return str(parsed.ipv4_mapped)
        return str(ipaddress.ip_network((parsed, 64), strict=False))
    return str(parsed)
