"""Decides whether the agent trusts a station, and the certificate chain that it sends. Takes bytes, returns facts.

1. The trust anchor is one root: pinned by the integrator, or remembered from the first station that provisioned it.
2. A station is trusted when its chain leads to that root, its certificate is a station's, and its signature over
   this session's transcript is valid.
3. A device chain is trusted when it is exactly the path to the same root and its leaf is for this unit's own key and
   serial number.
4. Extended key usages nest: a CA that names any must name the leaf's, and anyExtendedKeyUsage does not count. A CA that
   names none is trusted only if it is the intermediate that the unit knows (pinned, or remembered like the root), or
   stands above it.
5. Certificates must be valid at the time in the station's Hello, because a Pi has no reliable clock; but no time counts
   that is before the agent's build date, or before what the authority has signed: the unit's certificate and the list
   of revoked stations. Only a unit's own certificate may begin later, because a station's clock may have been set back.
6. A station is not on the authority's list of revoked stations: the newer one of that in Hello and that which the unit
   keeps. A list counts when the issuer of the station's certificate signed it.
The caller must use the same Hello for step 2 with which the transcript began, and send nothing secret before step 2.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from cryptography.x509.verification import Criticality, ExtensionPolicy, PolicyBuilder, Store, VerificationError

from device_agent.build_date import BUILD_DATE
from device_agent.session.station_list import StationList
from device_agent.session.trusted_authority import TrustedAuthority, usages, whole
from shared.errors import BirthmarkError, ErrorCode
from shared.protocol.signing import verify_signature
from shared.types import BoardSerial
from shared.x509_profile import EKU_STATION, UNREADABLE, is_p256

_DEPTH: Final = 2


@dataclass(frozen=True, slots=True)
class TrustedStation:
    """A station that has proven itself in this session."""

    key: ec.EllipticCurvePublicKey
    authority: TrustedAuthority
    time: dt.datetime
    """When its certificates were judged: Hello's time, or the earliest possible one."""
    station_list: StationList | None = None
    """The list of revoked stations in force, for the unit to keep."""

    def verify(self, signature: bytes, signed: bytes) -> None:
        """Verify that `signature` (DER) over `signed` is this station's. Raises `trust.station-forged`."""
        verify_signature(self.key, signature, signed, "trust.station-forged")


@dataclass(frozen=True, slots=True)
class Remembered:
    """What a unit has from earlier sessions and from its image, besides the authority."""

    earliest: dt.datetime = BUILD_DATE
    """The earliest time that the present can be. Nothing that only a station said counts."""
    station_list: StationList | None = None
    """The list of revoked stations that it keeps."""


NOTHING: Final = Remembered()
"""What a unit remembers that never met a station."""


def verify_station(
    chain: tuple[bytes, ...],
    time: int,
    signed: bytes,
    signature: bytes,
    authority: TrustedAuthority | None,
    *,
    revoked_stations: bytes = b"",
    remembered: Remembered = NOTHING,
) -> TrustedStation:
    """Make steps 1, 2 and 4 to 6. `authority` is None if none is known yet; then the chain's own root is the anchor.

    `chain` is DER, station first, root last; `time` seconds since 1970; `signed` what `signature` must cover;
    `revoked_stations` Hello's list, DER, or empty. Raises `trust.station-untrusted`, `trust.station-list-forged`,
    `trust.station-expired`, `trust.station-revoked`, `trust.not-a-station`, `trust.authority-unfit`,
    `trust.intermediate-unpinned` or `trust.station-forged`.
    """
    certificates = _parsed(chain, "trust.station-untrusted")
    said = dt.datetime.fromtimestamp(min(time, 253402300799), dt.UTC)
    anchor = authority.root if authority else certificates[-1]
    own = certificates[0]
    # Verify the path first, at a time when the certificate was valid: only a station of ours can have expired.
    valid = min(max(said, own.not_valid_before_utc), own.not_valid_after_utc)
    path = _verified_path(certificates, anchor, valid, "trust.station-untrusted")
    station_list = _newest_list(path, revoked_stations, remembered.station_list)
    at = max(said, remembered.earliest, station_list.issued_at if station_list else remembered.earliest)
    # Not `at` for its beginning: an honest station never says a time before that, however slow its clock.
    if said < own.not_valid_before_utc or at > own.not_valid_after_utc:
        lifetime = f"{own.not_valid_before_utc:%Y-%m-%d} to {own.not_valid_after_utc:%Y-%m-%d}"
        raise BirthmarkError("trust.station-expired", f"{lifetime}; judged at {at:%Y-%m-%d}")
    if at != valid:
        path = _verified_path(certificates, anchor, at, "trust.station-untrusted")
    if station_list is not None and own.serial_number in station_list.revoked:
        raise BirthmarkError(
            "trust.station-revoked", f"by list {station_list.number} of {station_list.issued_at:%Y-%m-%d}"
        )
    if EKU_STATION not in (usages(own) or ()):
        raise BirthmarkError("trust.not-a-station")
    authority = authority or TrustedAuthority.of(path)
    _check_issuers(path, EKU_STATION, authority)
    station = TrustedStation(_ec_key(own, "trust.station-untrusted"), authority, at, station_list)
    station.verify(signature, signed)
    return station


def verify_device_chain(
    chain: tuple[bytes, ...], station: TrustedStation, device_key: ec.EllipticCurvePublicKey, serial: BoardSerial
) -> tuple[x509.Certificate, ...]:
    """Make steps 3 to 5. Returns the certificates, the unit's own first, the verified root last.

    Raises `trust.chain-untrusted`, `trust.chain-for-another`, `trust.authority-unfit` or `trust.intermediate-unpinned`.
    """
    certificates = _parsed(chain, "trust.chain-untrusted")
    leaf, root = certificates[0], station.authority.root
    path = _verified_path(certificates, root, max(station.time, leaf.not_valid_before_utc), "trust.chain-untrusted")
    if path != certificates:  # what is stored, remembered and signed for is what was verified
        raise BirthmarkError("trust.chain-untrusted", "it is not the path to this unit's root, and nothing else")
    if _ec_key(leaf, "trust.chain-untrusted") != device_key:
        raise BirthmarkError("trust.chain-for-another", "its key is not this unit's")
    # serialNumber is a PrintableString, which has no underscore: such a serial is in commonName only.
    attribute = NameOID.COMMON_NAME if "_" in serial else NameOID.SERIAL_NUMBER
    if [a.value for a in leaf.subject.get_attributes_for_oid(attribute)] != [serial]:
        raise BirthmarkError("trust.chain-for-another", "its serial number is not this board's")
    if ExtendedKeyUsageOID.CLIENT_AUTH not in (usages(leaf) or ()):
        raise BirthmarkError("trust.chain-untrusted", "its leaf is no device certificate")
    _check_issuers(path, ExtendedKeyUsageOID.CLIENT_AUTH, station.authority)
    return path


def _newest_list(path: tuple[x509.Certificate, ...], sent: bytes, kept: StationList | None) -> StationList | None:
    """The list in force for the station whose verified `path` this is. Raises `trust.station-list-forged`."""
    issuer = path[1] if len(path) > 1 else path[0]
    if kept is not None and not kept.is_signed_by(issuer):
        kept = None  # another intermediate's: its numbers are no measure for this one's
    if not sent:
        return kept
    try:
        new = StationList.read(sent)
    except ValueError as error:
        raise BirthmarkError("trust.station-list-forged", str(error)) from None
    if not new.is_signed_by(issuer):
        raise BirthmarkError("trust.station-list-forged", "the station's issuer has not signed it")
    return new if kept is None or new.number > kept.number else kept


def _parsed(chain: tuple[bytes, ...], code: ErrorCode) -> tuple[x509.Certificate, ...]:
    try:
        return tuple(whole(x509.load_der_x509_certificate(der)) for der in chain)
    except UNREADABLE:
        raise BirthmarkError(code, "a certificate cannot be read") from None


def _verified_path(
    certificates: tuple[x509.Certificate, ...], anchor: x509.Certificate, at: dt.datetime, code: ErrorCode
) -> tuple[x509.Certificate, ...]:
    """Validate a path (RFC 5280) by cryptography's verifier, with our profile instead of the web's.

    Returns the path from the first of `certificates` to `anchor`.
    """

    def is_leaf(_policy: object, _certificate: object, extension: x509.BasicConstraints) -> None:
        if extension.ca:
            raise ValueError("the leaf is an authority")

    def is_authority(_policy: object, _certificate: object, extension: x509.BasicConstraints) -> None:
        if not extension.ca:
            raise ValueError("an issuer is no authority")

    def signs(_policy: object, _certificate: object, extension: x509.KeyUsage) -> None:
        if not extension.key_cert_sign:
            raise ValueError("an issuer may not issue")

    any_criticality = Criticality.AGNOSTIC
    leaf_policy = ExtensionPolicy.permit_all().require_present(x509.BasicConstraints, any_criticality, is_leaf)
    issuer_policy = (
        ExtensionPolicy.permit_all()
        .require_present(x509.BasicConstraints, any_criticality, is_authority)
        .require_present(x509.KeyUsage, any_criticality, signs)
    )
    verifier = (
        PolicyBuilder()
        .store(Store([anchor]))
        .time(at)
        .max_chain_depth(_DEPTH)
        .extension_policies(ca_policy=issuer_policy, ee_policy=leaf_policy)
        .build_client_verifier()
    )
    try:
        return tuple(verifier.verify(certificates[0], list(certificates[1:])).chain)
    except VerificationError as error:
        raise BirthmarkError(code, str(error)[:200]) from None


def _check_issuers(
    path: tuple[x509.Certificate, ...], usage: x509.ObjectIdentifier, authority: TrustedAuthority
) -> None:
    """Step 4, for every CA between the leaf and the root of a `path` that was verified."""
    known = False
    for issuer in path[1:-1]:
        known = known or authority.knows(issuer)
        allowed = usages(issuer)
        if allowed is None and not known:
            raise BirthmarkError("trust.intermediate-unpinned", _fingerprint(issuer))
        if allowed is not None and usage not in allowed:
            raise BirthmarkError("trust.authority-unfit", _fingerprint(issuer))


def _fingerprint(certificate: x509.Certificate) -> str:
    return f"its SHA-256 is {certificate.fingerprint(hashes.SHA256()).hex()}"


def _ec_key(certificate: x509.Certificate, code: ErrorCode) -> ec.EllipticCurvePublicKey:
    key = certificate.public_key()
    if not is_p256(key):
        raise BirthmarkError(code, "its key is not of P-256")
    return key
