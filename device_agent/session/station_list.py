"""The authority's CRL of its stations, which each Hello carries: reads it, and says who signed it and whom it lists."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass

from cryptography import x509

from shared import limits
from shared.x509_profile import STATIONS_ONLY, UNREADABLE_PARTS, is_p256


@dataclass(frozen=True, slots=True)
class StationList:
    """A CRL of stations (RFC 5280 section 5). Whoever has read it has not verified it."""

    crl: x509.CertificateRevocationList
    number: int
    issued_at: dt.datetime
    """Its thisUpdate: the authority says that the present is not before it."""
    revoked: frozenset[int]
    """The serial numbers of the revoked stations' certificates."""

    @classmethod
    def read(cls, der: bytes) -> StationList:
        """Raises ValueError for what is no CRL of stations."""
        try:
            crl = x509.load_der_x509_crl(der)
            number = crl.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number
            scope = crl.extensions.get_extension_for_class(x509.IssuingDistributionPoint)
            others = [extension for extension in crl.extensions if extension.critical and extension != scope]
            revoked = [crl[index].serial_number for index in range(min(len(crl), limits.REVOKED_STATIONS + 1))]
            issued_at = crl.last_update_utc
        except (*UNREADABLE_PARTS, x509.ExtensionNotFound) as error:
            raise ValueError("the list cannot be read") from error
        if scope.value != STATIONS_ONLY or others:
            raise ValueError("the list is not one of stations")
        if len(revoked) > limits.REVOKED_STATIONS:
            raise ValueError(f"the list has more than {limits.REVOKED_STATIONS} entries")
        return cls(crl, number, issued_at, frozenset(revoked))

    def is_signed_by(self, issuer: x509.Certificate) -> bool:
        """Whether `issuer`'s key signed it."""
        key = issuer.public_key()
        try:
            return is_p256(key) and self.crl.is_signature_valid(key)
        except UNREADABLE_PARTS:
            return False
