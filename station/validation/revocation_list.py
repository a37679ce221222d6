"""The certificate revocation list in force: signed when it is asked for and something has changed, else given again.

The list lives in the registry, so every station of an authority gives the same one under the same number.
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
    """Gives the list in force, DER. It knows every revocation that was committed before it was asked."""

    def __init__(self, authority: Authority, database: Database, clock: Callable[[], float] = time.time) -> None:
        self._authority = authority
        self._database = database
        self._clock = clock

    async def current(self) -> bytes:
        """Raises `registry.unavailable`."""
        now = int(self._clock())
        async with self._database.read() as connection:
            stored = await revocation.stored(connection)
        if stored.der is not None and _fresh(stored, now):
            return stored.der
        async with self._database.write() as connection:
            stored = await revocation.stored(connection)  # another may have been quicker
            if stored.der is not None and _fresh(stored, now):
                return stored.der
            # RFC 5280 section 3.3: an entry stays on one list beyond its certificate's validity.
            entries = await revocation.entries(connection, now - 2 * int(LIFETIME.total_seconds()))
            revoked = [
                RevokedCertificate(entry.certificate_serial, _moment(entry.revoked_at), entry.code) for entry in entries
            ]
            number = stored.number + 1
            der = self._authority.revocation_list(revoked, number, _moment(now)).public_bytes(Encoding.DER)
            await revocation.store(connection, Stored(number, now, der), len(revoked))
        return der


def _fresh(stored: Stored, now: int) -> bool:
    """Half its life is kept in reserve for whoever fetches it rarely. A clock set back makes a new one too."""
    return 0 <= now - stored.signed_at < LIFETIME.total_seconds() / 2


def _moment(seconds: int) -> dt.datetime:
    return dt.datetime.fromtimestamp(seconds, dt.UTC)
