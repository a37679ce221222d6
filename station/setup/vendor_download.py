"""Fetches TPM vendors' certificates from the vendors' own addresses. Only an operator's command does: no service.

What counts is our table's fingerprint (`station.attestation.ek.vendor_table`), not who answered: TLS is used where the
address says so, and its certificate is not checked, because a factory's proxy or clock must not decide it. A vendor
may have renewed an intermediate: another one than the table's counts when a pinned root of the same vendor signed it. A
root counts by its fingerprint alone.

Every certificate is written as soon as it is there, so a second run goes on where the first one ended.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from importlib.metadata import version
from pathlib import Path
from typing import Final
from urllib.request import getproxies

import aiohttp
from yarl import URL

from shared.errors import BirthmarkError
from shared.text import printable
from station.attestation.ek.bundle import read_bundle
from station.attestation.ek.roots import EkRoots, load_ek_roots, why_no_path
from station.attestation.ek.vendor_certificate import VendorCertificate
from station.attestation.ek.vendor_table import PinnedCertificate
from station.setup.vendor_store import store

ANSWER_BYTES_MAX: Final = 64 * 1024
"""The largest answer. The certificates have 0.6 to 2 KiB, as PEM with text around them some more."""

ANSWER_SECONDS: Final = 20.0
_CONNECT_SECONDS: Final = 10.0
_ALL_SECONDS: Final = 600.0
"""How long one vendor's server may take for all its certificates."""

_REDIRECTS_MAX: Final = 3
_SILENCES_MAX: Final = 3
"""A server that did not answer this often in a row is not asked for its other certificates."""

_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})


class Result(StrEnum):
    FETCHED = "fetched"
    THERE = "there"
    """The directory has it already."""
    DISTRUSTED = "distrusted"
    """The operator has distrusted its key."""
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one certificate of the table."""

    pinned: PinnedCertificate
    result: Result
    error: BirthmarkError | None = None


async def fetch_vendors(
    directory: Path, table: Sequence[PinnedCertificate], told: Callable[[Outcome], None]
) -> list[Outcome]:
    """Fetch every certificate of `table` that is not in `directory`, and tell what became of each.

    Roots come first. Each server is asked for one certificate after another; the servers are asked at the same time,
    and the failure of one stops no other. Raises `data.unwritable`.
    """
    run = _Run(directory, load_ek_roots(directory), told)
    timeout = aiohttp.ClientTimeout(total=ANSWER_SECONDS, sock_connect=_CONNECT_SECONDS)
    async with aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(ssl=False),
        timeout=timeout,
        trust_env=True,  # the factory's proxy
        auto_decompress=False,
        cookie_jar=aiohttp.DummyCookieJar(),
        headers={
            "User-Agent": f"birthmark-station/{version('birthmark-provisioning')}",
            "Accept": "*/*",
            "Accept-Encoding": "identity",
        },
    ) as session:
        for roots_first in (True, False):
            servers: dict[str, list[PinnedCertificate]] = defaultdict(list)
            for pinned in table:
                if pinned.is_root is roots_first:
                    servers[URL(pinned.address).host or ""].append(pinned)
            try:
                async with asyncio.TaskGroup() as group:
                    for host, wanted in servers.items():
                        group.create_task(run.ask_server(session, host, wanted))
            except* BirthmarkError as errors:
                raise errors.exceptions[0] from None
    return run.outcomes


class _Run:
    def __init__(self, directory: Path, roots: EkRoots, told: Callable[[Outcome], None]) -> None:
        self._directory = directory
        self._roots = roots
        self._told = told
        self._known = {c.sha256: c for found in roots.files.values() for c in found}
        self._pinned_roots: dict[str, list[VendorCertificate]] = defaultdict(list)
        self.outcomes: list[Outcome] = []

    async def ask_server(self, session: aiohttp.ClientSession, host: str, wanted: Iterable[PinnedCertificate]) -> None:
        silent = 0
        give_up = asyncio.get_running_loop().time() + _ALL_SECONDS
        for pinned in wanted:
            if known := self._known.get(pinned.sha256):
                self._tell(pinned, known, Result.DISTRUSTED if self._roots.distrusts(known) else Result.THERE)
                continue
            if silent >= _SILENCES_MAX or asyncio.get_running_loop().time() > give_up:
                why = BirthmarkError("vendors.unreachable", f"{host} was not asked again")
                self._tell(pinned, None, Result.FAILED, why)
                continue
            try:
                certificate = self._accepted(pinned, await _answer(session, pinned.address))
            except BirthmarkError as error:
                silent = silent + 1 if error.code == "vendors.unreachable" else 0
                self._tell(pinned, None, Result.FAILED, error)
                continue
            silent = 0
            if self._roots.distrusts(certificate):
                self._tell(pinned, certificate, Result.DISTRUSTED)
            else:
                new = store(self._directory, [certificate], self._roots)
                self._tell(pinned, certificate, Result.FETCHED if new else Result.THERE)

    def _accepted(self, pinned: PinnedCertificate, content: bytes) -> VendorCertificate:
        """Return the certificate in an answer, if it is the pinned one or a pinned root's."""
        found = read_bundle(content)
        if len(found.certificates) != 1:
            raise BirthmarkError("vendors.answer-unfit", f"{pinned.address}: it is not one certificate")
        [certificate] = found.certificates
        if why := certificate.why_no_issuer():
            raise BirthmarkError("vendors.answer-unfit", f"{pinned.address}: {why}")
        if certificate.sha256 == pinned.sha256 or (not pinned.is_root and self._is_renewed(pinned, certificate)):
            return certificate
        raise BirthmarkError("vendors.pin-differs", f"{pinned.address}: SHA-256 {certificate.sha256}")

    def _is_renewed(self, pinned: PinnedCertificate, certificate: VendorCertificate) -> bool:
        return any(
            certificate.is_issued_by(root) and not why_no_path([certificate, root])
            for root in self._pinned_roots[pinned.vendor]
        )

    def _tell(
        self,
        pinned: PinnedCertificate,
        certificate: VendorCertificate | None,
        result: Result,
        error: BirthmarkError | None = None,
    ) -> None:
        if pinned.is_root and certificate is not None and result is not Result.DISTRUSTED:
            self._pinned_roots[pinned.vendor].append(certificate)
        outcome = Outcome(pinned, result, error)
        self.outcomes.append(outcome)
        self._told(outcome)


async def _answer(session: aiohttp.ClientSession, address: str) -> bytes:
    """Return what lies at `address`. Follows a redirect only on the same host.

    Raises `vendors.unreachable` or `vendors.answer-unfit`.
    """
    url = URL(address)
    if unfit := _unfit_proxy():
        raise BirthmarkError("vendors.unreachable", f"{url.host}: {unfit} does not name a proxy as http://HOST:PORT")
    try:
        for _ in range(_REDIRECTS_MAX + 1):
            async with session.get(url, allow_redirects=False) as answer:
                if answer.status not in _REDIRECTS:
                    return await _content(answer, address)
                url = _redirected(url, answer.headers.get("Location", ""), address)
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        why = printable(str(error), 160) or type(error).__name__
        raise BirthmarkError("vendors.unreachable", f"{url.host}: {why}") from error
    raise BirthmarkError("vendors.answer-unfit", f"{address}: it redirects more than {_REDIRECTS_MAX} times")


def _unfit_proxy() -> str:
    """Return the variable that names a proxy which cannot be one. Its value stays unsaid: it may hold a password."""
    proxies = getproxies()
    return next((f"{name}_proxy" for name in ("http", "https") if name in proxies and not _fits(proxies[name])), "")


def _fits(proxy: str) -> bool:
    try:
        url = URL(proxy)
        return url.scheme in ("http", "https") and bool(url.host and url.port)
    except ValueError:
        return False


def _redirected(url: URL, location: str, address: str) -> URL:
    try:
        target = url.join(URL(location))
    except ValueError:
        target = URL()
    if target.scheme not in ("http", "https") or target.host != url.host:
        raise BirthmarkError("vendors.answer-unfit", f"{address}: it redirects to another host")
    return target


async def _content(answer: aiohttp.ClientResponse, address: str) -> bytes:
    if answer.status != 200:
        raise BirthmarkError("vendors.answer-unfit", f"{address}: status {answer.status}")
    content = b""
    async for part in answer.content.iter_chunked(8192):
        content += part
        if len(content) > ANSWER_BYTES_MAX:
            raise BirthmarkError("vendors.answer-unfit", f"{address}: it is larger than {ANSWER_BYTES_MAX} bytes")
    return content
