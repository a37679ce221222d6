"""An issuer that fails, waits or answers with something else as a test tells it, and is else the real one."""

from __future__ import annotations

import asyncio
import datetime as dt
from collections.abc import Sequence

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from shared.errors import BirthmarkError
from station.authority.crl import RevokedCertificate
from station.authority.issuer import CertificateRequest, Issuer
from station.registry.records import CrlScope


class SlowSigner:
    """An `Issuer` around another one."""

    def __init__(self, issuer: Issuer) -> None:
        self.issuer = issuer
        self.requests: list[CertificateRequest] = []
        self.signed: list[bytes] = []
        self.told: list[RevokedCertificate] = []
        self.lists: list[int] = []
        """The number of each list that it was asked for."""
        self.error: BirthmarkError | None = None
        self.answer: x509.Certificate | None = None
        self.reached = asyncio.Event()
        """It was asked to sign something."""
        self.may_sign = asyncio.Event()
        self.may_sign.set()

    async def issue(self, request: CertificateRequest) -> x509.Certificate:
        self.requests.append(request)
        await self._wait()
        certificate = self.answer or await self.issuer.issue(request)
        self.signed.append(certificate.public_bytes(Encoding.DER))
        return certificate

    async def revoke(self, revoked: RevokedCertificate) -> None:
        self.told.append(revoked)
        await self.issuer.revoke(revoked)

    async def issue_station(self, name: str, key: ec.EllipticCurvePublicKey, at: dt.datetime) -> x509.Certificate:
        await self._wait()
        return self.answer or await self.issuer.issue_station(name, key, at)

    async def revocation_list(
        self, revoked: Sequence[RevokedCertificate], number: int, at: dt.datetime, scope: CrlScope
    ) -> bytes:
        self.lists.append(number)
        await self._wait()
        return await self.issuer.revocation_list(revoked, number, at, scope)

    def chain_of(self, leaf: bytes) -> tuple[bytes, ...]:
        return self.issuer.chain_of(leaf)

    def issuer_of(self, leaf: x509.Certificate) -> x509.Certificate:
        return self.issuer.issuer_of(leaf)

    async def hold(self, session: asyncio.Task[object]) -> None:
        """Let `session` run up to where it asks this issuer; `may_sign` lets it go on. Call `pause` before."""
        reached = asyncio.create_task(self.reached.wait())
        await asyncio.wait({session, reached}, return_when=asyncio.FIRST_COMPLETED)
        reached.cancel()
        assert not session.done(), session.exception()

    def pause(self) -> None:
        self.reached.clear()
        self.may_sign.clear()

    async def _wait(self) -> None:
        self.reached.set()
        await self.may_sign.wait()
        if self.error is not None:
            raise self.error
