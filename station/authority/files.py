"""An authority's files, its certificates and encrypted keys: `create` makes them, `load` reads them.

Private keys are files, encrypted under the station secret; nothing outside this package uses them.
"""

from __future__ import annotations

import datetime as dt
import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from runtime.files import replace_private, write_private
from shared.errors import BirthmarkError
from shared.x509_profile import UNREADABLE
from station.authority import profiles
from station.authority.certificates import AuthorityCertificates
from station.authority.issuer import Issuer
from station.authority.key_file import KeyFileIssuer
from station.authority.station_identity import StationIdentity
from station.config import StationConfig
from station.secrets.station_secret import StationSecret

_KEY_PURPOSE: Final = "private keys"
_STATION: Final = "station.pem"
"""The station's certificate and its encrypted key: one file, so that a renewal replaces both in one step."""


@dataclass(frozen=True, slots=True)
class RootKey:
    """The root's private key, to be taken off the station: PKCS#8 PEM, encrypted under `passphrase`."""

    pem: bytes
    passphrase: str


@dataclass(frozen=True, slots=True)
class Authority:
    """What an authority's files hold, ready for use."""

    certificates: AuthorityCertificates
    issuer: Issuer
    identity: StationIdentity


def load(data_dir: Path, config: StationConfig, secret: StationSecret) -> Authority:
    """Read the files. Raises `authority.unreadable` for a missing or malformed one, or certificates without a chain."""
    folder = data_dir / "authority"
    password = secret.key(_KEY_PURPOSE)
    root, intermediate = (_load_certificate(folder / name) for name in ("root.pem", "intermediate.pem"))
    earlier = tuple(_load_certificate(path) for path in sorted(folder.glob("earlier-*.pem")))
    intermediate_key = _load_key(folder / "intermediate.key", password, intermediate)
    own = folder / _STATION
    own_pem = _read(own)  # once: a renewal may replace the file between two reads
    station = _certificate(own_pem, own)
    station_key = _key(own_pem, own, password, station)
    try:
        intermediate.verify_directly_issued_by(root)
        station.verify_directly_issued_by(intermediate)
    except Exception as error:  # cryptography raises ValueError, TypeError and InvalidSignature
        raise BirthmarkError("authority.unreadable", f"the certificates in {folder} form no chain") from error
    certificates = AuthorityCertificates(root, intermediate, earlier)
    return Authority(
        certificates,
        KeyFileIssuer(config.authority, certificates, intermediate_key, station.not_valid_before_utc),
        StationIdentity(station, (intermediate, root), station_key),
    )


def load_intermediate_key(
    data_dir: Path, secret: StationSecret, intermediate: x509.Certificate
) -> ec.EllipticCurvePrivateKey:
    """Decrypt the intermediate's key, only for handing the authority over. Raises `authority.unreadable`."""
    return _load_key(data_dir / "authority" / "intermediate.key", secret.key(_KEY_PURPOSE), intermediate)


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
    write_existing(
        folder, config, secret, now, ExistingAuthority(AuthorityCertificates(root, intermediate), intermediate_key)
    )
    return encrypt_root_key(root_key, passphrase)


@dataclass(frozen=True, slots=True, repr=False)
class ExistingAuthority:
    """The certificates of an authority that already exists, and its intermediate's key."""

    certificates: AuthorityCertificates
    intermediate_key: ec.EllipticCurvePrivateKey


def write_existing(
    folder: Path, config: StationConfig, secret: StationSecret, now: dt.datetime, authority: ExistingAuthority
) -> None:
    """Write an authority's files into `folder`, with a new station certificate."""
    certificates = authority.certificates
    station_key = ec.generate_private_key(ec.SECP256R1())
    station = profiles.station(
        config.authority.organization, config.name, station_key.public_key(), now, certificates.intermediate
    ).sign(authority.intermediate_key, hashes.SHA256())
    folder.mkdir(mode=0o700)
    named = {"root": certificates.root, "intermediate": certificates.intermediate}
    named |= {
        f"earlier-{number}": certificate for number, certificate in enumerate(certificates.earlier_intermediates, 1)
    }
    for name, certificate in named.items():
        write_private(folder / f"{name}.pem", certificate.public_bytes(serialization.Encoding.PEM))
    password = secret.key(_KEY_PURPOSE)
    write_private(folder / "intermediate.key", _encrypt_key(authority.intermediate_key, password))
    write_private(folder / _STATION, _station_file(station, station_key, password))


def store_station(
    data_dir: Path, secret: StationSecret, certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey
) -> None:
    """Replace the station's certificate and key, both in one step. Raises `data.unwritable`."""
    path = data_dir / "authority" / _STATION
    try:
        replace_private(path, _station_file(certificate, key, secret.key(_KEY_PURPOSE)))
    except OSError as error:
        raise BirthmarkError("data.unwritable", f"{path}: {error.strerror}") from error


def _station_file(certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey, password: bytes) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM) + _encrypt_key(key, password)


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
    return _certificate(_read(path), path)


def _load_key(path: Path, password: bytes, certificate: x509.Certificate) -> ec.EllipticCurvePrivateKey:
    return _key(_read(path), path, password, certificate)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise BirthmarkError("authority.unreadable", str(path)) from error


def _certificate(pem: bytes, path: Path) -> x509.Certificate:
    try:
        return x509.load_pem_x509_certificate(pem)
    except UNREADABLE as error:
        raise BirthmarkError("authority.unreadable", str(path)) from error


def _key(pem: bytes, path: Path, password: bytes, certificate: x509.Certificate) -> ec.EllipticCurvePrivateKey:
    try:
        key = serialization.load_pem_private_key(pem, password)
    except (ValueError, TypeError) as error:
        raise BirthmarkError("authority.unreadable", f"{path} (is the station secret the right one?)") from error
    if not isinstance(key, ec.EllipticCurvePrivateKey) or key.public_key() != certificate.public_key():
        raise BirthmarkError("authority.unreadable", f"{path} is not the key of its certificate")
    return key
