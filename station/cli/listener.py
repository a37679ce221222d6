"""Opens the station's addresses. Serves other machines only by TLS, behind a proxy, or where the settings list them."""

from __future__ import annotations

import asyncio
import ipaddress
import os
import socket
import ssl
import stat
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Final

from aiohttp import web

from runtime.systemd import inherited_sockets
from shared.errors import BirthmarkError
from shared.text import printable
from station.cli.accepting import Accepting
from station.cli.connections import Connections, Origin, Peer
from station.web.http.addresses import Networks, Proxies, is_loopback_address
from station.web.http.limiter import client_name

BACKLOG: Final = 128
"""How many connections may wait to be accepted."""


@dataclass(frozen=True, slots=True)
class _Served:
    """A listening socket, and how it is served."""

    listening: socket.socket
    tls: ssl.SSLContext | None
    inherited: bool
    """Whether systemd opened it, and keeps it open."""

    @property
    def address(self) -> str:
        """For people."""
        bound: Any = self.listening.getsockname()
        if isinstance(bound, str):
            return f"unix:{bound}"
        host, port = str(bound[0]), bound[1]
        return f"{'https' if self.tls else 'http'}://{f'[{host}]' if ':' in host else host}:{port}/"

    @property
    def reached_in_the_clear(self) -> bool:
        """Whether other machines reach it, and without TLS."""
        bound: Any = self.listening.getsockname()
        return self.tls is None and isinstance(bound, tuple) and not _is_loopback(str(bound[0]))


@dataclass(frozen=True, slots=True)
class Listener:
    """Listens on `port` of each of `hosts`, or on the sockets that systemd opened.

    Of systemd's sockets, those that only this machine reaches (loopback, UNIX) are served in the clear, all others by
    TLS, or without it in the clear to `proxies` and the networks `plain` alone. Raises `http.not-loopback` when other
    machines would be served in the clear.
    """

    hosts: Sequence[str]
    port: int
    tls: ssl.SSLContext | None = None
    proxies: Proxies = field(default_factory=Proxies)
    plain: Networks = field(default_factory=Networks)
    connections: Connections = field(default_factory=Connections)
    _served: list[_Served] = field(default_factory=list, init=False)
    _accepting: list[Accepting] = field(default_factory=list, init=False)
    _sweeping: list[asyncio.Task[None]] = field(default_factory=list, init=False)

    def __post_init__(self) -> None:
        for host in self.hosts:
            self._require_safe(host)

    @property
    def reached_in_the_clear(self) -> bool:
        """Whether other machines reach an address of the station without TLS."""
        return any(served.reached_in_the_clear for served in self._served)

    async def start(self, runner: web.AppRunner) -> str:
        """Start to serve. Returns the addresses, for people. Raises `http.cannot-listen`, `http.not-loopback`."""
        inherited = inherited_sockets()
        if inherited:
            self._served.extend(_Served(listening, self._tls_on(listening), True) for listening in inherited)
        else:
            self._served.extend(_Served(_listen(host, self.port), self.tls, False) for host in self.hosts)
        assert runner.server  # noqa: S101 - it was set up
        for served in self._served:
            peer_of = partial(self._peer, served)
            accepting = Accepting(served.listening, served.tls, peer_of, runner.server, self.connections)
            accepting.start()
            self._accepting.append(accepting)
        self._sweeping.append(asyncio.create_task(self.connections.keep_deadlines()))
        return " and ".join(served.address for served in self._served)

    async def stop(self) -> None:
        """Stop accepting, and wait for accepted clients' requests; systemd keeps later ones for the next start."""
        for accepting in self._accepting:
            accepting.stop()
        for served in self._served:
            served.listening.close()
        if any(served.inherited for served in self._served):
            await self.connections.settle()
        for task in self._sweeping:
            task.cancel()

    def _peer(self, served: _Served, address: Any) -> Peer | None:
        """Return who connects; None for another machine that would be served in the clear, and is not declared."""
        if served.listening.family == socket.AF_UNIX:
            return Peer(Origin.PROXY, "unix")
        host = str(address[0])
        if self.proxies.trust(host):
            return Peer(Origin.PROXY, client_name(host))
        if is_loopback_address(host):
            return Peer(Origin.HERE, "")
        if served.reached_in_the_clear and not self.plain.hold(host):
            return None
        return Peer(Origin.ELSEWHERE, client_name(host))

    def _tls_on(self, listening: socket.socket) -> ssl.SSLContext | None:
        if listening.family == socket.AF_UNIX:
            _require_private(listening.getsockname())
            return None
        host = str(listening.getsockname()[0])
        self._require_safe(host)
        return None if _is_loopback(host) else self.tls

    def _require_safe(self, host: str) -> None:
        if not (_is_loopback(host) or self.tls or self.proxies or self.plain):
            raise BirthmarkError("http.not-loopback", host)


def _listen(host: str, port: int) -> socket.socket:
    address = "127.0.0.1" if host == "localhost" else host
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    try:
        return socket.create_server((address, port), family=family, backlog=BACKLOG)
    except OSError as error:
        raise BirthmarkError("http.cannot-listen", f"{host}:{port}: {error.strerror}") from error


def _require_private(path: str | bytes) -> None:
    """Require that not everybody may open a UNIX socket, because its requests count as a proxy's.

    `path` is bytes for an abstract socket, which has no permissions.
    """
    if not isinstance(path, str) or Path(path).stat().st_mode & stat.S_IWOTH:
        raise BirthmarkError("http.socket-open-to-all", printable(os.fsdecode(path)))


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError as error:
        raise BirthmarkError("http.cannot-listen", f"{host} is not an address") from error
