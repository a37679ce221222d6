"""TPM vendors' servers on this machine, and a table of what they publish."""

from __future__ import annotations

import asyncio
import hashlib
import ssl
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from aiohttp import web
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from station.attestation.ek.vendor_table import PinnedCertificate
from tests.harness.vendor_lab import Vendor

Answer = bytes | Callable[[web.Request], Awaitable[web.StreamResponse]]


class VendorServer:
    """One server that answers at a path with bytes, or as a function says. Anything else is 404."""

    def __init__(self, origin: str) -> None:
        self.origin = origin
        self.pages: dict[str, Answer] = {}
        self.asked: list[str] = []

    async def answer(self, request: web.Request) -> web.StreamResponse:
        self.asked.append(request.path)
        page = self.pages.get(request.path)
        if page is None:
            raise web.HTTPNotFound
        return web.Response(body=page) if isinstance(page, bytes) else await page(request)

    def publishes(
        self, vendor: Vendor, *, whose: str, root: bool = False, other: Answer | None = None
    ) -> PinnedCertificate:
        """Publish a certificate, or something else in its place, and return its row in the table."""
        name = vendor.name.rfc4514_string().removeprefix("CN=")
        path = f"/{name.replace(' ', '_')}.crt"
        self.pages[path] = vendor.der if other is None else other
        return PinnedCertificate(whose, root, name, f"{self.origin}{path}", hashlib.sha256(vendor.der).hexdigest())


@contextmanager
def vendor_server(host: str = "127.0.0.1", tls: Path | None = None) -> Iterator[VendorServer]:
    """Run a server in a thread, by TLS with a certificate that nobody vouches for if `tls` names a folder for it."""
    loop = asyncio.new_event_loop()
    ready = threading.Event()
    server = VendorServer("")
    context = _context(tls) if tls else None

    async def serve() -> web.AppRunner:
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", server.answer)
        runner = web.AppRunner(app, shutdown_timeout=0.1)  # 0 would wait for an answer that never ends
        await runner.setup()
        site = web.TCPSite(runner, host, 0, ssl_context=context)
        await site.start()
        port = runner.addresses[0][1]
        server.origin = f"{'https' if tls else 'http'}://{host}:{port}"
        return runner

    def run() -> None:
        asyncio.set_event_loop(loop)
        runner = loop.run_until_complete(serve())
        ready.set()
        loop.run_forever()
        loop.run_until_complete(runner.cleanup())
        loop.close()

    thread = threading.Thread(target=run)
    thread.start()
    assert ready.wait(30)
    try:
        yield server
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join(30)
        assert not thread.is_alive()


def _context(folder: Path) -> ssl.SSLContext:
    owner: Any = Vendor("vendor.example")
    key = owner.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    pem = folder / "server.pem"
    pem.write_bytes(key + owner.pem())
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)
    return context
