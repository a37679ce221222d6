"""Accepts the connections of one listening socket, at a pace that leaves the event loop to the ports."""

from __future__ import annotations

import asyncio
import errno
import logging
import math
import socket
import ssl
import time
from collections.abc import Callable
from typing import Any, Final

from station.cli.connections import HEADER_SECONDS, Connection, Connections, Peer

log = logging.getLogger(__name__)

ACCEPT_SECONDS: Final = 0.001
"""One connection is accepted in this time, so a flood of them is taken at a thousand a second."""

_AT_ONCE: Final = 16
"""The most that are accepted at once, after the event loop was busy with other things."""

EXHAUSTED_SECONDS: Final = 1.0
"""Pause when the system has no descriptor or memory for a connection."""

_TELL_SECONDS: Final = 60.0
"""One line of the log in this time, however long that lasts."""

_EXHAUSTED: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
_CLOSING_SECONDS: Final = 2.0
"""How long TLS waits for the client's farewell."""


class Accepting:
    """`peer_of` says who connects from an address, or None for one that is not served."""

    def __init__(
        self,
        listening: socket.socket,
        tls: ssl.SSLContext | None,
        peer_of: Callable[[Any], Peer | None],
        server: Callable[[], asyncio.Protocol],
        connections: Connections,
    ) -> None:
        self._listening = listening
        self._tls = tls
        self._peer_of = peer_of
        self._server = server
        self._connections = connections
        self._loop = asyncio.get_running_loop()
        self._pause: asyncio.TimerHandle | None = None
        self._accepted_at = 0.0
        self._told = -math.inf

    def start(self) -> None:
        self._listening.setblocking(False)
        self._loop.add_reader(self._listening, self._accept)

    def stop(self) -> None:
        """Accept no more. Whoever opened the listening socket closes it."""
        if self._pause:
            self._pause.cancel()
        self._loop.remove_reader(self._listening)

    def _accept(self) -> None:
        """Accept as many as are due since the last time."""
        self._wait(ACCEPT_SECONDS)
        now = time.monotonic()
        due = min(_AT_ONCE, max(1, int((now - self._accepted_at) / ACCEPT_SECONDS)))
        self._accepted_at = now
        for _ in range(due):
            try:
                accepted, address = self._listening.accept()
            except BlockingIOError:  # there are no more
                break
            except OSError as error:
                if error.errno in _EXHAUSTED:
                    self._wait(EXHAUSTED_SECONDS)
                    self._tell(error)
                    break
                log.debug("a connection was not accepted: %s", error)  # the client is gone already: accept(2)
            else:
                self._take(accepted, self._peer_of(address))

    def _wait(self, seconds: float) -> None:
        """Do not look at the socket for a time."""
        self.stop()
        self._pause = self._loop.call_later(seconds, self.start)

    def _take(self, accepted: socket.socket, peer: Peer | None) -> None:
        connection = self._connections.admit(peer, self._server()) if peer else None
        if connection is None:
            accepted.close()
            return
        accepted.setblocking(False)
        connection.setting_up = self._loop.create_task(self._set_up(connection, accepted))

    async def _set_up(self, connection: Connection, accepted: socket.socket) -> None:
        """Hand the connection to its protocol, after the TLS handshake if there is one."""
        seconds = {"ssl_handshake_timeout": HEADER_SECONDS, "ssl_shutdown_timeout": _CLOSING_SECONDS}
        try:
            await self._loop.connect_accepted_socket(
                lambda: connection, accepted, ssl=self._tls, **(seconds if self._tls else {})
            )
        except OSError as error:  # ssl.SSLError and TimeoutError are OSErrors
            log.debug("a connection was not set up: %s", error)
        finally:
            if connection.transport is None:
                self._connections.forget(connection)

    def _tell(self, error: OSError) -> None:
        now = time.monotonic()
        if now - self._told >= _TELL_SECONDS:
            log.warning("no connection can be accepted: %s", error.strerror)
            self._told = now
