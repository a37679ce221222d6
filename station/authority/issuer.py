"""What a station asks of whoever issues certificates: a key file at hand, a key in hardware, another CA."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from station.authority.crl import RevokedCertificate
from station.authority.profiles import DeviceSubject
from station.registry.records import CrlScope


@dataclass(frozen=True, slots=True)
class CertificateRequest:
    """A device certificate to be issued."""

    subject: DeviceSubject
    serial: int
    """The serial number that is reserved for it: 1 to 20 bytes (RFC 5280 section 4.1.2.2)."""
    at: dt.datetime
    """It is valid from this moment on: aware, UTC."""


class Issuer(Protocol):
    """Issues and revokes. An answer may take seconds, or not come: it is awaited outside every transaction.

    A method raises an error with `retry` when the issuer cannot be reached; the same request is then sent again.
    """

    async def issue(self, request: CertificateRequest) -> x509.Certificate:
        """A certificate for the request. Asked again for the same serial number, it may answer with another one."""

    async def issue_station(self, name: str, key: ec.EllipticCurvePublicKey, at: dt.datetime) -> x509.Certificate:
        """A certificate for the station of this name and key, valid for `profiles.STATION_DAYS` days from `at` on."""

    async def revoke(self, revoked: RevokedCertificate) -> None:
        """Learn of a revocation that the registry has recorded. It may be told of the same one again."""

    async def revocation_list(
        self, revoked: Sequence[RevokedCertificate], number: int, at: dt.datetime, scope: CrlScope
    ) -> bytes:
        """A CRL of all `revoked` certificates of `scope`, DER (RFC 5280 section 5)."""

    def chain_of(self, leaf: bytes) -> tuple[bytes, ...]:
        """DER: `leaf`, the intermediate that issued it, root. Raises `authority.issuer-unknown`."""

    def issuer_of(self, leaf: x509.Certificate) -> x509.Certificate:
        """The intermediate that issued `leaf`. Raises `authority.issuer-unknown`."""
