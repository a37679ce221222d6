"""Provides the current CRL: has a new one signed on request when something has changed, else returns the stored one.

The CRL is stored in the registry, so every station of an authority returns the same one under the same number. It is
signed outside every transaction, so a long one holds up nobody.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import time
from collections.abc import Callable
from typing import Final

from station.authority.crl import LIFETIME, RevokedCertificate
from station.authority.issuer import Issuer
from station.registry import crl, revocation
from station.registry.crl import StoredCrl
from station.registry.database import Database

_LATE_SECONDS: Final = 60
"""A revocation may be committed this long after the time that it bears: it waits for the registry's lock."""


class CurrentRevocationList:
    """Provides the current CRL with every revocation committed before the call."""

    def __init__(self, issuer: Issuer, database: Database, clock: Callable[[], float] = time.time) -> None:
        self._issuer = issuer
        self._database = database
        self._clock = clock
        self._signing = asyncio.Lock()

    async def current(self) -> bytes:
        """Return the current CRL, DER. Raises `registry.unavailable` and the errors of the issuer."""
        fresh = await self._stored()
        if fresh is not None:
            return fresh
        async with self._signing:
            return await self._stored() or await self._sign()

    async def _stored(self) -> bytes | None:
        async with self._database.read() as connection:
            stored = await crl.stored(connection)
        return stored.der if _is_fresh(stored, int(self._clock())) else None

    async def _sign(self) -> bytes:
        now = int(self._clock())
        async with self._database.write() as connection:
            taken = await crl.take_number(connection)
        async with self._database.read() as connection:
            last = await crl.stored(connection)
            # RFC 5280 section 3.3: an entry stays on one CRL after its certificate has expired.
            entries = await revocation.entries(connection, now - 2 * int(LIFETIME.total_seconds()))
        revoked = [
            RevokedCertificate(entry.certificate_serial, _utc_time(entry.revoked_at), entry.code) for entry in entries
        ]
        for entry, told in zip(entries, revoked, strict=True):
            if entry.revoked_at >= last.signed_at - _LATE_SECONDS:
                await self._issuer.revoke(told)
        der = await self._issuer.revocation_list(revoked, taken.number, _utc_time(now))
        async with self._database.write() as connection:
            await crl.store(connection, taken, der, now, len(revoked))
        return der


def _is_fresh(stored: StoredCrl, now: int) -> bool:
    """Whether a CRL is in the first half of its lifetime. The other half is for clients that fetch it rarely."""
    return stored.der is not None and 0 <= now - stored.signed_at < LIFETIME.total_seconds() / 2


def _utc_time(seconds: int) -> dt.datetime:
    return dt.datetime.fromtimestamp(seconds, dt.UTC)
