"""The profile of the CRLs (RFC 5280 section 5). Returns a builder; an issuer signs it.

An authority signs two: one of its devices' certificates, and one of its stations', which every Hello carries.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from cryptography import x509

from shared.x509_profile import STATIONS_ONLY
from station.authority.profiles import BACKDATE, STATION_DAYS, authority_key_identifier
from station.registry.records import CrlScope

LIFETIMES: Final = {CrlScope.DEVICES: dt.timedelta(days=7), CrlScope.STATIONS: dt.timedelta(days=STATION_DAYS)}
"""From thisUpdate to nextUpdate: how long a verifier may use one CRL. Agents keep that of stations until the next."""


@dataclass(frozen=True, slots=True)
class RevokedCertificate:
    """A revoked certificate. `reason` is a CRLReason by its name in RFC 5280 section 5.3.1."""

    certificate_serial: int
    revoked_at: dt.datetime
    reason: str


def revocation_list(
    issuer: x509.Certificate, revoked: Sequence[RevokedCertificate], number: int, now: dt.datetime, scope: CrlScope
) -> x509.CertificateRevocationListBuilder:
    """A full CRL of `issuer`, for the certificates of `scope` that it issued itself."""
    begin = now.replace(microsecond=0) - BACKDATE
    # All entries at once: the builder's own method copies the list for each, which takes quadratic time.
    builder = x509.CertificateRevocationListBuilder(revoked_certificates=[_entry(one) for one in revoked])
    builder = (
        builder.issuer_name(issuer.subject)
        .last_update(begin)
        .next_update(begin + LIFETIMES[scope])
        .add_extension(authority_key_identifier(issuer), critical=False)
        .add_extension(x509.CRLNumber(number), critical=False)
    )
    if scope is CrlScope.STATIONS:
        builder = builder.add_extension(STATIONS_ONLY, critical=True)
    return builder


def _entry(revoked: RevokedCertificate) -> x509.RevokedCertificate:
    return (
        x509.RevokedCertificateBuilder()
        .serial_number(revoked.certificate_serial)
        .revocation_date(revoked.revoked_at.replace(microsecond=0))
        .add_extension(x509.CRLReason(x509.ReasonFlags(revoked.reason)), critical=False)
        .build()
    )
