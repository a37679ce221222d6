"""Where the station listens, and whether it may: to other machines never in the clear."""

from __future__ import annotations

import ipaddress
import ssl
from dataclasses import dataclass
from pathlib import Path

from aiohttp import web

from shared.errors import BirthmarkError
from station.notify import inherited_socket


@dataclass(frozen=True, slots=True)
class Listener:
    """Under systemd's socket activation the socket it opened takes the place of `host` and `port`.

    Raises `http.not-loopback` when it would serve other machines in the clear.
    """

    host: str
    port: int
    tls: ssl.SSLContext | None = None
    behind_proxy: bool = False

    def __post_init__(self) -> None:
        self._require_safe(self.host)

    async def start(self, runner: web.AppRunner) -> str:
        """The address it serves. Raises `http.cannot-listen`, `http.not-loopback`."""
        inherited = inherited_socket()
        try:
            if inherited is None:
                await web.TCPSite(runner, self.host, self.port, ssl_context=self.tls).start()
            else:
                self._require_safe(str(inherited.getsockname()[0]))
                await web.SockSite(runner, inherited, ssl_context=self.tls).start()
        except OSError as error:
            raise BirthmarkError("http.cannot-listen", f"{self.host}:{self.port}: {error.strerror}") from error
        bound = runner.addresses[0]
        scheme = "https" if self.tls else "http"
        return f"{scheme}://[{bound[0]}]:{bound[1]}/" if ":" in bound[0] else f"{scheme}://{bound[0]}:{bound[1]}/"

    def _require_safe(self, host: str) -> None:
        try:
            loopback = host == "localhost" or ipaddress.ip_address(host).is_loopback
        except ValueError as error:
            raise BirthmarkError("http.cannot-listen", f"{host} is not an address") from error
        if not (loopback or self.tls or self.behind_proxy):
            raise BirthmarkError("http.not-loopback", host)


def tls_context(certificate: Path, key: Path) -> ssl.SSLContext:
    """TLS 1.2 or newer, by files. Raises `http.tls-unusable`."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_cert_chain(certificate, key, password="")  # never asks for one on the terminal
    except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
        raise BirthmarkError("http.tls-unusable", f"{certificate}, {key}: {error}") from error
    return context
