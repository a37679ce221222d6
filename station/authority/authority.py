"""Issues device certificates, signs CRLs, signs for this station. `create` makes the files, `load` reads them.

Private keys are files, encrypted under the station secret; nothing outside this package uses them.
"""

from __future__ import annotations

import datetime as dt
import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from runtime.files import write_private
from shared.errors import BirthmarkError
from shared.x509_profile import UNREADABLE
from station.authority import profiles
from station.authority.crl import RevokedCertificate, revocation_list
from station.config import StationConfig
from station.secrets.station_secret import StationSecret

_KEY_PURPOSE: Final = "private keys"


@dataclass(frozen=True, slots=True)
class RootKey:
    """The root's private key, to be taken off the station: PKCS#8 PEM, encrypted under `passphrase`."""

    pem: bytes
    passphrase: str


class Authority:
    """The certificates of root, intermediate and station, with the keys of the last two."""

    def __init__(
        self,
        config: StationConfig,
        root: x509.Certificate,
        intermediate: x509.Certificate,
        intermediate_key: ec.EllipticCurvePrivateKey,
        station: x509.Certificate,
        station_key: ec.EllipticCurvePrivateKey,
        earlier_intermediates: tuple[x509.Certificate, ...] = (),
    ) -> None:
        self._config = config
        self._intermediate_key = intermediate_key
        self._station_key = station_key
        self.root: Final = root
        self.intermediate: Final = intermediate
        self.station: Final = station
        self.issuers: Final = (intermediate, *earlier_intermediates)
        """Certificates that may have issued a unit's: the intermediate, and those of an imported authority."""

    @classmethod
    def load(cls, data_dir: Path, config: StationConfig, secret: StationSecret) -> Authority:
        """Load an authority from its files.

        Raises `authority.unreadable` for a missing or malformed file, or certificates that form no chain.
        """
        folder = data_dir / "authority"
        password = secret.key(_KEY_PURPOSE)
        root, intermediate, station = (
            _load_certificate(folder / f"{name}.pem") for name in ("root", "intermediate", "station")
        )
        authority = cls(
            config,
            root,
            intermediate,
            _load_key(folder / "intermediate.key", password, intermediate),
            station,
            _load_key(folder / "station.key", password, station),
            tuple(_load_certificate(path) for path in sorted(folder.glob("earlier-*.pem"))),
        )
        try:
            intermediate.verify_directly_issued_by(root)
            station.verify_directly_issued_by(intermediate)
        except Exception as error:  # cryptography raises ValueError, TypeError and InvalidSignature
            raise BirthmarkError("authority.unreadable", f"the certificates in {folder} form no chain") from error
        return authority

    @property
    def station_chain(self) -> tuple[bytes, ...]:
        """DER: station, intermediate, root."""
        return self._chain(self.station)

    def chain(self, leaf: bytes) -> tuple[bytes, ...]:
        """DER: `leaf`, intermediate, root."""
        return self._chain(x509.load_der_x509_certificate(leaf))

    def now(self, clock: dt.datetime) -> dt.datetime:
        """The time of `clock`, but never earlier than the start of this station's certificate."""
        return max(clock, self.station.not_valid_before_utc)

    def issue(self, subject: profiles.DeviceSubject, now: dt.datetime) -> x509.Certificate:
        """Issue a device certificate, valid from `now` (UTC, aware) for the configured number of days."""
        authority = self._config.authority
        builder = profiles.device(
            authority.organization,
            subject,
            self.now(now),
            authority.device_days,
            self.intermediate,
            authority.public_url.rstrip("/") + "/crl",
        )
        return builder.sign(self._intermediate_key, hashes.SHA256())

    def revocation_list(
        self, revoked: Iterable[RevokedCertificate], number: int, now: dt.datetime
    ) -> x509.CertificateRevocationList:
        """Sign a CRL (RFC 5280 section 5). Each CRL has a higher `number` than the one before."""
        return revocation_list(self.intermediate, revoked, number, now).sign(self._intermediate_key, hashes.SHA256())

    def sign_as_station(self, data: bytes) -> bytes:
        """Sign with this station's own key: ECDSA P-256 with SHA-256, in DER."""
        return self._station_key.sign(data, ec.ECDSA(hashes.SHA256()))

    def _chain(self, leaf: x509.Certificate) -> tuple[bytes, ...]:
        return tuple(c.public_bytes(serialization.Encoding.DER) for c in (leaf, self.intermediate, self.root))


def create(
    folder: Path, config: StationConfig, secret: StationSecret, now: dt.datetime, passphrase: str | None
) -> RootKey:
    """Make root, intermediate and station certificates in `folder`. Returns the root's key, which is not stored.

    `passphrase` encrypts the root's key; without one, a random passphrase of 128 bits does.
    """
    organization = config.authority.organization
    root_key, intermediate_key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    root = profiles.root(organization, root_key.public_key(), now).sign(root_key, hashes.SHA256())
    intermediate = profiles.intermediate(organization, intermediate_key.public_key(), now, root).sign(
        root_key, hashes.SHA256()
    )
    write_existing(folder, config, secret, now, ExistingAuthority(root, intermediate, intermediate_key))
    return encrypt_root_key(root_key, passphrase)


@dataclass(frozen=True, slots=True, repr=False)
class ExistingAuthority:
    """The certificates and key of an authority that already exists."""

    root: x509.Certificate
    intermediate: x509.Certificate
    intermediate_key: ec.EllipticCurvePrivateKey
    earlier_intermediates: tuple[x509.Certificate, ...] = ()
    """Earlier issuers: their device certificates stay valid, they issue no new ones."""


def write_existing(
    folder: Path, config: StationConfig, secret: StationSecret, now: dt.datetime, authority: ExistingAuthority
) -> None:
    """Write an authority's files into `folder`, with a new station certificate."""
    station_key = ec.generate_private_key(ec.SECP256R1())
    station = profiles.station(
        config.authority.organization, config.name, station_key.public_key(), now, authority.intermediate
    ).sign(authority.intermediate_key, hashes.SHA256())
    folder.mkdir(mode=0o700)
    named = {"root": authority.root, "intermediate": authority.intermediate, "station": station}
    named |= {f"earlier-{number}": certificate for number, certificate in enumerate(authority.earlier_intermediates, 1)}
    for name, certificate in named.items():
        write_private(folder / f"{name}.pem", certificate.public_bytes(serialization.Encoding.PEM))
    password = secret.key(_KEY_PURPOSE)
    write_private(folder / "intermediate.key", _encrypt_key(authority.intermediate_key, password))
    write_private(folder / "station.key", _encrypt_key(station_key, password))


def encrypt_root_key(root_key: ec.EllipticCurvePrivateKey, passphrase: str | None) -> RootKey:
    """Encrypt the root's key; without a passphrase, under a random one of 128 bits."""
    passphrase = passphrase or "-".join(secrets.token_hex(2) for _ in range(8))
    return RootKey(_encrypt_key(root_key, passphrase.encode()), passphrase)


def _encrypt_key(key: ec.EllipticCurvePrivateKey, password: bytes) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(password),
    )


def _load_certificate(path: Path) -> x509.Certificate:
    try:
        return x509.load_pem_x509_certificate(path.read_bytes())
    except (OSError, *UNREADABLE) as error:
        raise BirthmarkError("authority.unreadable", str(path)) from error


def _load_key(path: Path, password: bytes, certificate: x509.Certificate) -> ec.EllipticCurvePrivateKey:
    try:
        key = serialization.load_pem_private_key(path.read_bytes(), password)
    except (OSError, ValueError, TypeError) as error:
        raise BirthmarkError("authority.unreadable", f"{path} (is the station secret the right one?)") from error
    if not isinstance(key, ec.EllipticCurvePrivateKey) or key.public_key() != certificate.public_key():
        raise BirthmarkError("authority.unreadable", f"{path} is not the key of its certificate")
    return key
