"""Certificates for the agent's tests: an authority, a station and a device, made with the station's profiles."""

import datetime as dt
from dataclasses import dataclass

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from shared.types import board_serial
from station.authority import profiles

NOW = dt.datetime(2026, 11, 24, 12, tzinfo=dt.UTC)
SERIAL = board_serial("10000000abcdef01")
SIGNED = b"what is signed"


def key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


@dataclass
class AuthorityChain:
    """One authority with a station and a device."""

    root: x509.Certificate
    intermediate: x509.Certificate
    intermediate_key: ec.EllipticCurvePrivateKey
    station: x509.Certificate
    station_key: ec.EllipticCurvePrivateKey
    device: x509.Certificate
    device_key: ec.EllipticCurvePrivateKey

    def chain(self, leaf: x509.Certificate) -> tuple[bytes, ...]:
        return tuple(c.public_bytes(Encoding.DER) for c in (leaf, self.intermediate, self.root))

    def sign(self, data: bytes = SIGNED) -> bytes:
        return self.station_key.sign(data, ec.ECDSA(hashes.SHA256()))


def chain_of_trust(at: dt.datetime = NOW) -> AuthorityChain:
    root_key, intermediate_key, station_key, device_key = (key() for _ in range(4))
    root = profiles.root("O", root_key.public_key(), at).sign(root_key, hashes.SHA256())
    intermediate = profiles.intermediate("O", intermediate_key.public_key(), at, root).sign(root_key, hashes.SHA256())
    station = profiles.station("O", "s", station_key.public_key(), at, intermediate).sign(
        intermediate_key, hashes.SHA256()
    )
    subject = profiles.DeviceSubject(SERIAL, device_key.public_key(), b"\x01" * 32)
    device = profiles.device("O", subject, 4711, at, 730, intermediate, "http://127.0.0.1/crl").sign(
        intermediate_key, hashes.SHA256()
    )
    return AuthorityChain(root, intermediate, intermediate_key, station, station_key, device, device_key)
