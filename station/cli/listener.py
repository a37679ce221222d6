"""Opens the station's addresses. Serves other machines only by TLS or behind a proxy."""

from __future__ import annotations

import asyncio
import ipaddress
import os
import socket
import ssl
import stat
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from aiohttp import web

from runtime.systemd import inherited_sockets
from shared.errors import BirthmarkError
from shared.text import printable
from station.cli.arrivals import Arrivals

BACKLOG: Final = 128
"""How many connections may wait to be accepted."""


@dataclass(frozen=True, slots=True)
class Listener:
    """Listens on `host` and `port`, or on the sockets that systemd opened.

    Of systemd's sockets, those that only this machine reaches (loopback, UNIX) are served in the clear, all others by
    TLS. Raises `http.not-loopback` when other machines would be served in the clear.
    """

    host: str
    port: int
    tls: ssl.SSLContext | None = None
    behind_proxy: bool = False
    arrivals: Arrivals = field(default_factory=Arrivals)
    _inherited: list[asyncio.Server] = field(default_factory=list, init=False)

    def __post_init__(self) -> None:
        self._require_safe(self.host)

    async def start(self, runner: web.AppRunner) -> str:
        """Start to serve. Returns the addresses, for people. Raises `http.cannot-listen`, `http.not-loopback`."""
        inherited = inherited_sockets()
        try:
            if not inherited:
                await web.TCPSite(runner, self.host, self.port, ssl_context=self.tls).start()
                return _address(runner.addresses[0], self.tls)
            served = [(listening, self._tls_on(listening)) for listening in inherited]
            assert runner.server  # noqa: S101 - it was set up
            accept = self.arrivals.watch(runner.server)
            for listening, tls in served:
                self._inherited.append(
                    await asyncio.get_running_loop().create_server(accept, sock=listening, ssl=tls, backlog=BACKLOG)
                )
        except OSError as error:
            raise BirthmarkError("http.cannot-listen", f"{self.host}:{self.port}: {error.strerror}") from error
        return " and ".join(_address(listening.getsockname(), tls) for listening, tls in served)

    async def stop(self) -> None:
        """Stop accepting, and wait for accepted clients' requests; systemd keeps later ones for the next start."""
        for server in self._inherited:
            server.close()
        if self._inherited:
            await self.arrivals.settle()

    def _tls_on(self, listening: socket.socket) -> ssl.SSLContext | None:
        if listening.family == socket.AF_UNIX:
            _require_private(listening.getsockname())
            return None
        host = str(listening.getsockname()[0])
        self._require_safe(host)
        return None if _is_loopback(host) else self.tls

    def _require_safe(self, host: str) -> None:
        if not (_is_loopback(host) or self.tls or self.behind_proxy):
            raise BirthmarkError("http.not-loopback", host)


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


def _address(bound: tuple[object, ...] | str, tls: ssl.SSLContext | None) -> str:
    """Format an address. `bound` is getsockname(2)'s result: host and port, or the path of a UNIX socket."""
    if isinstance(bound, str):
        return f"unix:{bound}"
    host, port = str(bound[0]), bound[1]
    return f"{'https' if tls else 'http'}://{f'[{host}]' if ':' in host else host}:{port}/"
