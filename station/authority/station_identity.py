"""Who this station is to a device: its certificate, the chain to the root, and signatures by its own key."""

from __future__ import annotations

import datetime as dt
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding


class StationIdentity:
    """The station's certificate and key, and the CRL that it shows: nothing that issues certificates."""

    def __init__(
        self,
        certificate: x509.Certificate,
        issuers: tuple[x509.Certificate, ...],
        key: ec.EllipticCurvePrivateKey,
        revoked_stations: bytes = b"",
    ) -> None:
        """`issuers` lead from the certificate to the root, which is the last; `revoked_stations` is a CRL, DER."""
        self.certificate: Final = certificate
        self.issuers: Final = issuers
        self.chain: Final = tuple(c.public_bytes(Encoding.DER) for c in (certificate, *issuers))
        """DER: station, intermediate, root."""
        self.revoked_stations: Final = revoked_stations
        """The authority's CRL of stations, DER; empty while there is none."""
        self._key = key

    def showing(self, revoked_stations: bytes) -> StationIdentity:
        """The same with another CRL of stations."""
        return StationIdentity(self.certificate, self.issuers, self._key, revoked_stations)

    def now(self, clock: dt.datetime) -> dt.datetime:
        """The time of `clock`, but never earlier than the start of this station's certificate."""
        return max(clock, self.certificate.not_valid_before_utc)

    def sign(self, data: bytes) -> bytes:
        """DER ECDSA P-256 with SHA-256."""
        return self._key.sign(data, ec.ECDSA(hashes.SHA256()))
