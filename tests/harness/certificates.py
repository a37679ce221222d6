"""Certificates for the agent's tests: an authority, a station and a device, made with the station's profiles."""

import datetime as dt
from collections.abc import Iterable
from dataclasses import dataclass

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID

from shared.types import board_serial
from shared.x509_profile import EKU_STATION
from station.authority import profiles

NOW = dt.datetime(2026, 11, 24, 12, tzinfo=dt.UTC)
SERIAL = board_serial("10000000abcdef01")
SIGNED = b"what is signed"
OWN_USAGES = (EKU_STATION, ExtendedKeyUsageOID.CLIENT_AUTH)
"""The extended key usages of the intermediate that the station's profile makes."""


Keys = tuple[
    ec.EllipticCurvePrivateKey, ec.EllipticCurvePrivateKey, ec.EllipticCurvePrivateKey, ec.EllipticCurvePrivateKey
]


def key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


@dataclass
class AuthorityChain:
    """One authority with a station and a device."""

    root: x509.Certificate
    root_key: ec.EllipticCurvePrivateKey
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


def with_usages(
    builder: x509.CertificateBuilder, usages: Iterable[x509.ObjectIdentifier] | None
) -> x509.CertificateBuilder:
    """`builder` with these extended key usages in place of its own; None for none."""
    kept = [extension for extension in builder._extensions if not isinstance(extension.value, x509.ExtendedKeyUsage)]
    builder._extensions[:] = kept
    return builder if usages is None else builder.add_extension(x509.ExtendedKeyUsage(usages), critical=False)


def chain_of_trust(
    at: dt.datetime = NOW,
    *,
    usages: Iterable[x509.ObjectIdentifier] | None = OWN_USAGES,
    under: AuthorityChain | None = None,
    keys: Keys | None = None,
) -> AuthorityChain:
    """`usages` are the intermediate's; `under` is whose root it has, in place of a new one.

    `keys` are those of root, intermediate, station and device, in place of new ones.
    """
    root_key, intermediate_key, station_key, device_key = keys or (key(), key(), key(), key())
    if under is not None:
        root, root_key = under.root, under.root_key
    else:
        root = profiles.root("O", root_key.public_key(), at).sign(root_key, hashes.SHA256())
    builder = with_usages(profiles.intermediate("O", intermediate_key.public_key(), at, root), usages)
    intermediate = builder.sign(root_key, hashes.SHA256())
    station = profiles.station("O", "s", station_key.public_key(), at, intermediate).sign(
        intermediate_key, hashes.SHA256()
    )
    subject = profiles.DeviceSubject(SERIAL, device_key.public_key(), b"\x01" * 32)
    device = profiles.device("O", subject, 4711, at, 730, intermediate, "http://127.0.0.1/crl").sign(
        intermediate_key, hashes.SHA256()
    )
    return AuthorityChain(root, root_key, intermediate, intermediate_key, station, station_key, device, device_key)


def signed_octets(octets: bytes, issuer: ec.EllipticCurvePrivateKey) -> bytes:
    """A certificate or CRL of `octets` (what is signed), signed by ECDSA with SHA-256."""
    signature = b"\0" + issuer.sign(octets, ec.ECDSA(hashes.SHA256()))
    inside = octets + bytes.fromhex("300a06082a8648ce3d040302") + b"\x03" + bytes([len(signature)]) + signature
    size = len(inside).to_bytes(2, "big").lstrip(b"\0")
    return b"\x30" + (size if len(inside) < 128 else bytes([0x80 | len(size)]) + size) + inside
