"""Keeps this station's own certificate and the CRL of stations up to date, while the station serves.

A certificate lives 90 days, so that a stolen key ends with it. In its last month, or once it is revoked, the station
makes a new key and has the issuer certify it. While the issuer is away the old certificate stays in use; the operator
is told, and it is tried again.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import logging
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, Final, TypeVar

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec

from runtime.clock import Clock, unix_time, utc_now
from shared.errors import BirthmarkError
from station.authority import files
from station.authority.files import Authority
from station.authority.issuer import Issuer
from station.authority.revocation_list import CurrentRevocationList
from station.authority.station_identity import StationIdentity
from station.config import StationConfig
from station.events import Bus, NoticeChanged, Topic
from station.registry import stations
from station.registry.database import Database
from station.registry.records import CrlScope
from station.secrets.station_secret import StationSecret

Answer = TypeVar("Answer")

log = logging.getLogger(__name__)

RENEW_BEFORE: Final = dt.timedelta(days=30)
"""A certificate is renewed when it has this long to live: a month for an issuer to come back."""

LOOK_SECONDS: Final = 5.0
"""Pause between two looks: how long until a Hello shows that a station was revoked."""

RETRY_SECONDS: Final = 300.0
"""Pause after a failure, if the issuer is away or the disk is full."""

ISSUER_SECONDS: Final = 20.0
"""How long the issuer may take for an answer."""


class OwnCertificate:
    """This station's identity, which changes when it is renewed. One session keeps the identity that it began with."""

    def __init__(
        self,
        data_dir: Path,
        config: StationConfig,
        secret: StationSecret,
        authority: Authority,
        database: Database,
        bus: Bus,
        clock: Clock,
    ) -> None:
        self._data_dir = data_dir
        self._config = config
        self._secret = secret
        self._issuer: Final[Issuer] = authority.issuer
        self._database = database
        self._bus = bus
        self._clock = clock
        self._issuers = (authority.certificates.intermediate, authority.certificates.root)
        self._identity = authority.identity
        self._recorded: int | None = None
        """The serial number of the certificate that is known to be in the registry."""
        self._list = CurrentRevocationList(authority.issuer, database, clock, CrlScope.STATIONS)

    def identity(self) -> StationIdentity:
        """The identity for a session that begins now."""
        return self._identity

    async def refresh(self) -> None:
        """Renew the certificate if it is due, and take over the current CRL of stations.

        Raises `registry.unavailable`, `data.unwritable`, `authority.station-refused` and the issuer's errors; then what
        was in use stays in use, and the operator is told.
        """
        try:
            await self._renew_if_due()
            await self._record()
            self._show(await self._in_time(self._list.current()))
        except BirthmarkError as error:
            self._tell(error)
            raise
        self._bus.tell(NoticeChanged(Topic.CERTIFICATE, ""))

    async def follow(self) -> None:
        """Refresh over and over."""
        while True:
            pause = LOOK_SECONDS
            try:
                await self.refresh()
            except BirthmarkError as error:
                log.warning("the station's own certificate: %s", error)
                pause = RETRY_SECONDS
            except Exception:
                log.exception("the station's own certificate: a bug; what was in use stays in use")
                pause = RETRY_SECONDS
            await asyncio.sleep(pause)

    async def _renew_if_due(self) -> None:
        certificate = self._identity.certificate
        now = utc_now(self._clock)
        if now < certificate.not_valid_after_utc - RENEW_BEFORE and not await self._is_revoked(certificate):
            return
        key = ec.generate_private_key(ec.SECP256R1())
        issued = await self._in_time(
            self._issuer.issue_station(self._config.name, key.public_key(), self._identity.now(now))
        )
        self._check(issued, key)
        # The registry first: a station must never greet with a certificate that nobody can revoke.
        await self._record_certificate(issued)
        await asyncio.to_thread(files.store_station, self._data_dir, self._secret, issued, key)
        self._identity = StationIdentity(issued, self._issuers, key, self._identity.revoked_stations)
        log.warning("the station has a new certificate, valid until %s", f"{issued.not_valid_after_utc:%Y-%m-%d}")

    async def _in_time(self, answer: Coroutine[Any, Any, Answer]) -> Answer:
        try:
            async with asyncio.timeout(ISSUER_SECONDS):
                return await answer
        except TimeoutError:
            raise BirthmarkError("authority.issuer-silent", f"within {ISSUER_SECONDS:g} s") from None

    async def _is_revoked(self, certificate: x509.Certificate) -> bool:
        async with self._database.read() as connection:
            return await stations.is_revoked(connection, certificate.serial_number)

    def _check(self, issued: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> None:
        """Raises `authority.station-refused` for what another CA may answer by mistake."""
        if issued.public_key() != key.public_key():
            raise BirthmarkError("authority.station-refused", "it is for another key")
        try:
            issued.verify_directly_issued_by(self._issuers[0])
        except (ValueError, TypeError, InvalidSignature) as error:
            raise BirthmarkError("authority.station-refused", "this authority has not issued it") from error
        if issued.not_valid_after_utc <= self._identity.now(utc_now(self._clock)):
            raise BirthmarkError("authority.station-refused", "it has expired")

    async def _record(self) -> None:
        if self._recorded != self._identity.certificate.serial_number:
            await self._record_certificate(self._identity.certificate)

    async def _record_certificate(self, certificate: x509.Certificate) -> None:
        begin, end = (
            int(time.timestamp()) for time in (certificate.not_valid_before_utc, certificate.not_valid_after_utc)
        )
        async with self._database.write() as connection:
            await stations.record(
                connection, self._config.name, certificate.serial_number, begin, end, unix_time(self._clock)
            )
        self._recorded = certificate.serial_number

    def _show(self, revoked_stations: bytes) -> None:
        if revoked_stations != self._identity.revoked_stations:
            self._identity = self._identity.showing(revoked_stations)

    def _tell(self, error: BirthmarkError) -> None:
        end = self._identity.certificate.not_valid_after_utc
        text = (
            f"The station's own certificate, valid until {end:%Y-%m-%d}, or its list of revoked stations cannot be "
            f"renewed: {error.sentence}. {error.advice} It is tried again."
        )
        self._bus.tell(NoticeChanged(Topic.CERTIFICATE, text))
