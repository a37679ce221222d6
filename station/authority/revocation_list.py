"""Provides the current CRLs: has a new one signed on request when something has changed, else returns the stored one.

The CRLs are stored in the registry, so every station of an authority returns the same one under the same number. They
are signed outside every transaction, so a long one holds up nobody.
"""

from __future__ import annotations

import asyncio
import datetime as dt
from typing import Final

from runtime.clock import SYSTEM_CLOCK, Clock, unix_time
from station.authority.crl import LIFETIMES, RevokedCertificate
from station.authority.issuer import Issuer
from station.registry import crl, revocation, stations
from station.registry.crl import StoredCrl
from station.registry.database import Connection, Database
from station.registry.records import CrlScope

_LATE_SECONDS: Final = 60
"""A revocation may be committed this long after the time that it bears: it waits for the registry's lock."""

_FRESH_SECONDS: Final = LIFETIMES[CrlScope.DEVICES].total_seconds() / 2
"""How long a CRL without changes is current. The rest of a lifetime is for clients that fetch it rarely."""


class CurrentRevocationList:
    """Provides the current CRL of one scope with every revocation committed before the call."""

    def __init__(
        self, issuer: Issuer, database: Database, clock: Clock = SYSTEM_CLOCK, scope: CrlScope = CrlScope.DEVICES
    ) -> None:
        self._issuer = issuer
        self._database = database
        self._clock = clock
        self._scope = scope
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
            stored = await crl.stored(connection, self._scope)
        return stored.der if _is_fresh(stored, unix_time(self._clock)) else None

    async def _sign(self) -> bytes:
        now = unix_time(self._clock)
        async with self._database.write() as connection:
            taken = await crl.take_number(connection, self._scope)
        async with self._database.read() as connection:
            last = await crl.stored(connection, self._scope)
            revoked = await self._revoked(connection, now)
        if self._scope is CrlScope.DEVICES:
            for one in revoked:
                if one.revoked_at.timestamp() >= last.signed_at - _LATE_SECONDS:
                    await self._issuer.revoke(one)
        der = await self._issuer.revocation_list(revoked, taken.number, _utc_time(now), self._scope)
        async with self._database.write() as connection:
            await crl.store(connection, self._scope, taken, der, now, len(revoked))
        return der

    async def _revoked(self, connection: Connection, now: int) -> list[RevokedCertificate]:
        if self._scope is CrlScope.STATIONS:
            return [
                RevokedCertificate(int(one.certificate_serial, 16), _utc_time(one.revoked_at or now), _KEY_COMPROMISE)
                for one in await stations.listed(connection, now)
            ]
        # RFC 5280 section 3.3: an entry stays on one CRL after its certificate has expired.
        entries = await revocation.entries(connection, now - 2 * int(LIFETIMES[self._scope].total_seconds()))
        return [
            RevokedCertificate(entry.certificate_serial, _utc_time(entry.revoked_at), entry.code) for entry in entries
        ]


_KEY_COMPROMISE: Final = revocation.RevocationCode.KEY_COMPROMISE.value


def _is_fresh(stored: StoredCrl, now: int) -> bool:
    return stored.der is not None and 0 <= now - stored.signed_at < _FRESH_SECONDS


def _utc_time(seconds: int) -> dt.datetime:
    return dt.datetime.fromtimestamp(seconds, dt.UTC)
