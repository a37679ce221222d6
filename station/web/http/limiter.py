"""How many requests a client may send: one allowance for each kind of request and each client. Knows no HTTP.

The generic cell rate algorithm (ITU-T I.371): all that is kept of a client is when its next request is due.
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
"""So many seconds' worth of requests may come at once."""

CLIENTS_MAX: Final = 20_000
"""Clients that are remembered, times kinds of requests: about 4 MB. The one unseen for longest is forgotten first."""


class Limiter:
    """`kind` is the name of a rate in the configuration."""

    def __init__(self, rates: RatesConfig, clock: Callable[[], float] = time.monotonic) -> None:
        self._rates: Final[dict[str, float]] = msgspec.structs.asdict(rates)
        self._due: OrderedDict[tuple[str, str], float] = OrderedDict()
        self._clock = clock

    def spend(self, kind: str, client: str) -> float:
        """0 when the client may go on, and it is counted; else the seconds it must wait, and nothing is counted."""
        now = self._clock()
        key = (kind, client)
        due = max(now, self._due.get(key, now)) + 1 / self._rates[kind]
        wait = due - now - max(BURST_SECONDS, 1 / self._rates[kind])
        if wait > 0:
            return wait
        self._due[key] = due
        self._due.move_to_end(key)
        if len(self._due) > CLIENTS_MAX:
            self._due.popitem(last=False)
        return 0.0

    def __len__(self) -> int:
        return len(self._due)


def client_name(address: str) -> str:
    """What a client is counted under: its IPv4 address, or the 64-bit network that an IPv6 client has to itself."""
    try:
        parsed = ipaddress.ip_address(address.strip())
    except ValueError:
        return "unknown"
    if isinstance(parsed, ipaddress.IPv6Address):
        if parsed.ipv4_mapped:
            return str(parsed.ipv4_mapped)
        return str(ipaddress.ip_network((parsed, 64), strict=False))
    return str(parsed)
