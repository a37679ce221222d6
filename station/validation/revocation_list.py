"""Provides the current CRL: signs a new one on request when something has changed, else returns the stored one.

The CRL is stored in the registry, so every station of an authority returns the same one under the same number.
"""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Callable

from cryptography.hazmat.primitives.serialization import Encoding

from station.authority.authority import Authority
from station.authority.crl import LIFETIME, RevokedCertificate
from station.registry import revocation
from station.registry.database import Database
from station.registry.revocation import Stored


class CurrentRevocationList:
    """Provides the current CRL with every revocation committed before the call."""

    def __init__(self, authority: Authority, database: Database, clock: Callable[[], float] = time.time) -> None:
        self._authority = authority
        self._database = database
        self._clock = clock

    async def current(self) -> bytes:
        """Return the current CRL, DER. Raises `registry.unavailable`."""
        now = int(self._clock())
        async with self._database.read() as connection:
            stored = await revocation.stored(connection)
        if stored.der is not None and _is_fresh(stored, now):
            return stored.der
        async with self._database.write() as connection:
            stored = await revocation.stored(connection)  # another process may have signed one
            if stored.der is not None and _is_fresh(stored, now):
                return stored.der
            # RFC 5280 section 3.3: an entry stays on one CRL after its certificate has expired.
            entries = await revocation.entries(connection, now - 2 * int(LIFETIME.total_seconds()))
            revoked = [
                RevokedCertificate(entry.certificate_serial, _utc_time(entry.revoked_at), entry.code)
                for entry in entries
            ]
            number = stored.number + 1
            der = self._authority.revocation_list(revoked, number, _utc_time(now)).public_bytes(Encoding.DER)
            await revocation.store(connection, Stored(number, now, der), len(revoked))
        return der


def _is_fresh(stored: Stored, now: int) -> bool:
    """Whether a CRL is in the first half of its lifetime. The other half is for clients that fetch it rarely."""
    return 0 <= now - stored.signed_at < LIFETIME.total_seconds() / 2


def _utc_time(seconds: int) -> dt.datetime:
    return dt.datetime.fromtimestamp(seconds, dt.UTC)
