"""IP addresses of clients, and networks of them: of trusted proxies, and of those who are served in the clear."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from typing import Self


@dataclass(frozen=True, slots=True)
class Networks:
    """Networks and single addresses."""

    networks: tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.networks)

    def __str__(self) -> str:
        return ", ".join(map(str, self.networks))

    def hold(self, address: str) -> bool:
        found = parse_address(address)
        return found is not None and any(found in network for network in self.networks)


@dataclass(frozen=True, slots=True)
class Proxies(Networks):
    """The addresses of the proxies that are trusted to do TLS and to say for whom they ask."""

    @classmethod
    def of(cls, text: str) -> Self:
        """Read addresses and networks, separated by commas. Raises ValueError for another text."""
        return cls(tuple(ipaddress.ip_network(part.strip()) for part in text.split(",")))

    def trust(self, address: str) -> bool:
        return self.hold(address)


def is_loopback_address(address: str) -> bool:
    found = parse_address(address)
    return found is not None and found.is_loopback


def parse_address(address: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """One socket may serve both families; IPv4 then comes in as ::ffff:192.0.2.1 (RFC 4291)."""
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return None
    return getattr(found, "ipv4_mapped", None) or found
