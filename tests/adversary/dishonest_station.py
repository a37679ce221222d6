"""Dishonest stations: each changes one answer of the real station and names the code that the agent ends with.

A new attack is a subclass of `DishonestStation` with the decorator `at_once` or `by_its_gifts`, which add it to the
suite.
"""

from __future__ import annotations

import datetime as dt
import os
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar, Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID

from shared.protocol.messages import (
    Challenge,
    ChallengeBody,
    Credentials,
    CredentialsBody,
    Identity,
    Proof,
    decode_body,
    encode,
)
from shared.protocol.nuc_encryption import NucHashDecryptor
from shared.protocol.signing import signed_bytes
from shared.types import TableKey, board_serial
from shared.x509_profile import EKU_STATION
from station.attestation.tpm2.credential import make_credential
from station.attestation.tpm2.structures import read_public
from station.attestation.tpm2.wrapping import wrap_table_key
from station.authority import files, profiles
from station.authority.certificates import AuthorityCertificates
from station.authority.files import Authority
from station.authority.key_file import KeyFileIssuer
from station.authority.profiles import DeviceSubject
from station.authority.station_identity import StationIdentity
from station.config import AuthorityConfig, StationConfig
from station.provisioning.cable import CableProvisioner, ChallengedUnit, Greeting, IssuedUnit
from station.provisioning.issuance import Issuance
from station.secrets.station_secret import StationSecret
from tests.adversary.dishonest_agent import but
from tests.harness import soft_device as soft
from tests.harness.certificates import with_usages
from tests.harness.recorded_station import RecordedStation

NOW: Final = dt.datetime.now(dt.UTC)


class DishonestStation(CableProvisioner):
    """Honest unless a subclass overrides a step."""

    code: ClassVar[str] = ""
    """The code that the agent refuses it with."""

    def __init__(self, station_under_test: RecordedStation, folder: Path) -> None:
        honest = station_under_test.station
        self.root_key = station_under_test.root_key()
        self.shown = self.authority(honest.authority, folder)
        """The authority whose certificates it shows and whose keys it has."""
        super().__init__(
            honest.config,
            honest.policy,
            honest.vendors,
            honest.secret,
            lambda: self.shown.identity,
            Issuance(honest.config, honest.tables, self.shown.issuer, honest.database),
            honest.tables,
            honest.database,
            honest.bus,
            self.clock,
        )
        self.folder = folder

    # --- the steps that a dishonest station overrides ---

    def authority(self, honest: Authority, folder: Path) -> Authority:
        """See `shown`."""
        return honest

    def clock(self) -> float:
        return time.time()

    def sign_challenge(self, honest: Challenge) -> Challenge:
        return honest

    def challenge_body(self, honest: ChallengeBody, unit: ChallengedUnit) -> ChallengeBody:
        return honest

    def credentials_body(self, honest: CredentialsBody, unit: ChallengedUnit) -> CredentialsBody:
        return honest

    def sign_credentials(self, honest: Credentials) -> Credentials:
        return honest

    def challenge(self, station: StationIdentity, identity: Identity, transcript: bytes) -> ChallengedUnit:
        unit = super().challenge(station, identity, transcript)
        body = encode(self.challenge_body(decode_body(ChallengeBody, unit.message.body), unit))
        signature = self.shown.identity.sign(signed_bytes(ChallengeBody, transcript, body))
        return replace(unit, message=self.sign_challenge(Challenge(body=body, signature=signature)))

    async def issue(self, unit: ChallengedUnit, proof: Proof, before: bytes, after: bytes, port: str) -> IssuedUnit:
        issued = await super().issue(unit, proof, before, after, port)
        body = encode(self.credentials_body(decode_body(CredentialsBody, issued.message.body), unit))
        signature = self.shown.identity.sign(signed_bytes(CredentialsBody, after, body))
        return replace(issued, message=self.sign_credentials(Credentials(body=body, signature=signature)))


FALSE_FROM_THE_START: Final[list[type[DishonestStation]]] = []
"""The agent detects these by their Challenge."""

FALSE_IN_THE_END: Final[list[type[DishonestStation]]] = []
"""These send a genuine Challenge and false Credentials."""


def found_out(
    code: str, group: list[type[DishonestStation]]
) -> Callable[[type[DishonestStation]], type[DishonestStation]]:
    def register(dishonest: type[DishonestStation]) -> type[DishonestStation]:
        dishonest.code = code
        group.append(dishonest)
        return dishonest

    return register


def at_once(code: str) -> Callable[[type[DishonestStation]], type[DishonestStation]]:
    return found_out(code, FALSE_FROM_THE_START)


def by_its_gifts(code: str) -> Callable[[type[DishonestStation]], type[DishonestStation]]:
    return found_out(code, FALSE_IN_THE_END)


# --- the Challenge ---


@at_once("message.field-invalid")
class NoSignature(DishonestStation):
    def sign_challenge(self, honest: Challenge) -> Challenge:
        return but(honest, signature=b"")


@at_once("trust.station-forged")
class GarbageForASignature(DishonestStation):
    def sign_challenge(self, honest: Challenge) -> Challenge:
        return but(honest, signature=os.urandom(70))


@at_once("trust.station-forged")
class SignatureOverAnotherTranscript(DishonestStation):
    """A genuine signature for another unit, or for this one in another session."""

    def sign_challenge(self, honest: Challenge) -> Challenge:
        signed = signed_bytes(ChallengeBody, os.urandom(32), honest.body)
        return but(honest, signature=self.shown.identity.sign(signed))


@at_once("trust.station-forged")
class SignatureOverAnotherBody(DishonestStation):
    """An attacker on the cable puts their own HPKE key into a genuine Challenge."""

    def sign_challenge(self, honest: Challenge) -> Challenge:
        return but(honest, body=encode(but(decode_body(ChallengeBody, honest.body), hpke_key=point())))


@at_once("trust.station-forged")
class SignatureOfAnotherKind(DishonestStation):
    """A genuine signature over this transcript and body, but of the kind for Credentials."""

    def challenge(self, station: StationIdentity, identity: Identity, transcript: bytes) -> ChallengedUnit:
        unit = super().challenge(station, identity, transcript)
        signed = signed_bytes(CredentialsBody, transcript, unit.message.body)
        return replace(unit, message=but(unit.message, signature=self.shown.identity.sign(signed)))


@at_once("trust.station-forged")
class BorrowedCertificate(DishonestStation):
    """It shows the genuine station's chain, which is public, and signs with its own key."""

    def authority(self, honest: Authority, folder: Path) -> Authority:
        return with_station_key(honest, honest.identity.certificate, soft.new_key())


@at_once("trust.not-a-station")
class DeviceAsStation(DishonestStation):
    """It uses a device certificate of the same authority, and its key."""

    def authority(self, honest: Authority, folder: Path) -> Authority:
        key = soft.new_key()
        unit = DeviceSubject(board_serial("10000000ffffffff"), key.public_key(), b"t" * 32)
        return with_station_key(honest, device_certificate(honest, unit), key)


@at_once("trust.station-expired")
class ExpiredStation(DishonestStation):
    """A genuine station whose certificate has expired."""

    def clock(self) -> float:
        return time.time() + (profiles.STATION_DAYS + 1) * 86_400


@at_once("trust.station-expired")
class StationFromBeforeItself(DishonestStation):
    """It states a time before its certificate is valid, which an honest station never does."""

    def greet(self) -> Greeting:
        honest = super().greet()
        return replace(honest, message=but(honest.message, time=int(time.time()) - 86_400))


@at_once("trust.station-untrusted")
class ForeignStation(DishonestStation):
    """A valid station of another authority."""

    def authority(self, honest: Authority, folder: Path) -> Authority:
        return foreign(honest, folder)


@at_once("trust.station-untrusted")
class ForeignStationUnderOurRoot(DishonestStation):
    """Another authority's station with this authority's intermediate and root in its chain."""

    def authority(self, honest: Authority, folder: Path) -> Authority:
        other = foreign(honest, folder)
        return with_station_key(honest, other.identity.certificate, other.identity._key)


@at_once("trust.station-untrusted")
class SelfMadeStation(DishonestStation):
    """It makes its own certificate with the intermediate as issuer."""

    def authority(self, honest: Authority, folder: Path) -> Authority:
        key = soft.new_key()
        builder = profiles.station("Birthmark", "mine", key.public_key(), NOW, honest.certificates.intermediate)
        return with_station_key(honest, builder.sign(soft.new_key(), hashes.SHA256()), key)


class _OfAnotherCa(DishonestStation):
    """Its certificate says that it is a station, and leads to our root, by a CA that was not made for cameras."""

    usages: ClassVar[tuple[x509.ObjectIdentifier, ...] | None] = None

    def authority(self, honest: Authority, folder: Path) -> Authority:
        return under_our_root(honest, self.root_key, self.usages)


@at_once("trust.authority-unfit")
class StationOfACaForServers(_OfAnotherCa):
    usages = (ExtendedKeyUsageOID.SERVER_AUTH,)


@at_once("trust.authority-unfit")
class StationOfACaForDevices(_OfAnotherCa):
    usages = (ExtendedKeyUsageOID.CLIENT_AUTH,)


@at_once("trust.authority-unfit")
class StationOfACaForAnything(_OfAnotherCa):
    usages = (ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE,)


@at_once("trust.intermediate-unpinned")
class StationOfACaThatNamesNoUsages(_OfAnotherCa):
    usages = None


@at_once("session.challenge-malformed")
class CredentialForAnotherTpm(DishonestStation):
    def challenge_body(self, honest: ChallengeBody, unit: ChallengedUnit) -> ChallengeBody:
        other = read_public(soft.Key(soft.EK, soft.AES_128, soft.NOTHING, soft.POLICY_A).public)
        made = make_credential(other, unit.claims.ak.name(), unit.secret)
        return but(honest, credential=made.id_object, encrypted_secret=made.encrypted_secret)


@at_once("session.challenge-malformed")
class HpkeKeyThatIsNoPoint(DishonestStation):
    def challenge_body(self, honest: ChallengeBody, unit: ChallengedUnit) -> ChallengeBody:
        return but(honest, hpke_key=b"\x04" + b"\xff" * 64)


# --- the Credentials ---


@by_its_gifts("trust.station-forged")
class CredentialsWithGarbageForASignature(DishonestStation):
    def sign_credentials(self, honest: Credentials) -> Credentials:
        return but(honest, signature=os.urandom(70))


@by_its_gifts("trust.station-forged")
class CredentialsOfAnotherSession(DishonestStation):
    def sign_credentials(self, honest: Credentials) -> Credentials:
        signed = signed_bytes(CredentialsBody, os.urandom(32), honest.body)
        return but(honest, signature=self.shown.identity.sign(signed))


class _Chained(DishonestStation):
    def leaf(self, unit: ChallengedUnit) -> x509.Certificate:
        raise NotImplementedError

    def credentials_body(self, honest: CredentialsBody, unit: ChallengedUnit) -> CredentialsBody:
        return but(honest, chain=self.shown.certificates.chain_of(self.leaf(unit).public_bytes(Encoding.DER)))


@by_its_gifts("trust.chain-for-another")
class ChainForAnotherKey(_Chained):
    def leaf(self, unit: ChallengedUnit) -> x509.Certificate:
        subject = DeviceSubject(unit.serial, soft.new_key().public_key(), b"t" * 32)
        return device_certificate(self.shown, subject)


@by_its_gifts("trust.chain-for-another")
class ChainForAnotherSerialNumber(_Chained):
    def leaf(self, unit: ChallengedUnit) -> x509.Certificate:
        subject = DeviceSubject(board_serial("10000000ffffffff"), unit.claims.device_key, b"t" * 32)
        return device_certificate(self.shown, subject)


@by_its_gifts("trust.chain-untrusted")
class ChainWithoutAUsage(_Chained):
    """A certificate with this unit's key and serial number, but without the device's extended key usage."""

    def leaf(self, unit: ChallengedUnit) -> x509.Certificate:
        builder = profiles.device(
            "Birthmark",
            DeviceSubject(unit.serial, unit.claims.device_key, b"t" * 32),
            x509.random_serial_number(),
            NOW,
            1,
            self.shown.certificates.intermediate,
            "http://127.0.0.1/crl",
        )
        usage = [at for at, one in enumerate(builder._extensions) if isinstance(one.value, x509.ExtendedKeyUsage)]
        del builder._extensions[usage[0]]
        return builder.sign(intermediate_key(self.shown), hashes.SHA256())


@by_its_gifts("trust.chain-untrusted")
class ChainOfAnotherRoot(DishonestStation):
    """A genuine station sends a chain of another authority."""

    def credentials_body(self, honest: CredentialsBody, unit: ChallengedUnit) -> CredentialsBody:
        other = foreign(self.shown, self.folder)
        leaf = device_certificate(other, DeviceSubject(unit.serial, unit.claims.device_key, b"t" * 32))
        return but(honest, chain=other.certificates.chain_of(leaf.public_bytes(Encoding.DER)))


class _ChainOfAnotherCa(DishonestStation):
    """A genuine station sends a chain that another CA under our root has issued."""

    usages: ClassVar[tuple[x509.ObjectIdentifier, ...] | None] = None

    def credentials_body(self, honest: CredentialsBody, unit: ChallengedUnit) -> CredentialsBody:
        other = under_our_root(self.shown, self.root_key, self.usages)
        leaf = device_certificate(other, DeviceSubject(unit.serial, unit.claims.device_key, b"t" * 32))
        return but(honest, chain=other.certificates.chain_of(leaf.public_bytes(Encoding.DER)))


@by_its_gifts("trust.authority-unfit")
class ChainOfACaForStations(_ChainOfAnotherCa):
    usages = (EKU_STATION,)


@by_its_gifts("trust.authority-unfit")
class ChainOfACaForAnything(_ChainOfAnotherCa):
    usages = (ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE,)


@by_its_gifts("trust.intermediate-unpinned")
class ChainOfACaThatNamesNoUsages(_ChainOfAnotherCa):
    usages = None


@by_its_gifts("trust.chain-untrusted")
class ChainThatEndsInAnotherRoot(DishonestStation):
    """It hopes that the last certificate will be the root that the unit trusts from then on."""

    def credentials_body(self, honest: CredentialsBody, unit: ChallengedUnit) -> CredentialsBody:
        evil = foreign(self.shown, self.folder).certificates.root.public_bytes(Encoding.DER)
        return but(honest, chain=(*honest.chain[:2], evil))


@by_its_gifts("trust.chain-untrusted")
class ChainThatCannotBeRead(DishonestStation):
    def credentials_body(self, honest: CredentialsBody, unit: ChallengedUnit) -> CredentialsBody:
        return but(honest, chain=(b"\x30\x03\x02\x01\x00", *honest.chain[1:]))


class _Tabled(DishonestStation):
    def tables(self, honest: tuple[Any, ...], unit: ChallengedUnit) -> tuple[Any, ...]:
        raise NotImplementedError

    def credentials_body(self, honest: CredentialsBody, unit: ChallengedUnit) -> CredentialsBody:
        return but(honest, tables=self.tables(honest.tables, unit))


@by_its_gifts("message.field-invalid")
class TableOutOfRange(_Tabled):
    def tables(self, honest: tuple[Any, ...], unit: ChallengedUnit) -> tuple[Any, ...]:
        return (*honest[:2], but(honest[2], table_id=2500))


@by_its_gifts("message.field-invalid")
class TableBelowZero(_Tabled):
    def tables(self, honest: tuple[Any, ...], unit: ChallengedUnit) -> tuple[Any, ...]:
        return (*honest[:2], but(honest[2], table_id=-1))


@by_its_gifts("trust.tables-malformed")
class TableTwice(_Tabled):
    def tables(self, honest: tuple[Any, ...], unit: ChallengedUnit) -> tuple[Any, ...]:
        return (*honest[:2], but(honest[2], table_id=honest[0].table_id))


@by_its_gifts("trust.tables-malformed")
class TwoTables(_Tabled):
    def tables(self, honest: tuple[Any, ...], unit: ChallengedUnit) -> tuple[Any, ...]:
        return honest[:2]


@by_its_gifts("trust.tables-malformed")
class FourTables(_Tabled):
    def tables(self, honest: tuple[Any, ...], unit: ChallengedUnit) -> tuple[Any, ...]:
        return (*honest, but(honest[0], table_id=max(table.table_id for table in honest) + 1))


@by_its_gifts("trust.table-not-for-this-tpm")
class TableForAnotherTpm(_Tabled):
    def tables(self, honest: tuple[Any, ...], unit: ChallengedUnit) -> tuple[Any, ...]:
        other = read_public(soft.Key(soft.SRK, soft.AES_128, soft.NOTHING).public)
        made = wrap_table_key(other, TableKey(os.urandom(32)))
        wrapped = but(honest[2], public=made.public, duplicate=made.duplicate, seed=made.seed)
        return (*honest[:2], wrapped)


@by_its_gifts("trust.table-not-for-this-tpm")
class TableChangedOnTheWay(_Tabled):
    def tables(self, honest: tuple[Any, ...], unit: ChallengedUnit) -> tuple[Any, ...]:
        duplicate = honest[2].duplicate
        return (*honest[:2], but(honest[2], duplicate=duplicate[:-1] + bytes([duplicate[-1] ^ 1])))


# --- helpers ---


def with_station_key(honest: Authority, station: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> Authority:
    """Return this authority with another station certificate and key."""
    issuers = (honest.certificates.intermediate, honest.certificates.root)
    return replace(honest, identity=StationIdentity(station, issuers, key))


def device_certificate(authority: Authority, subject: DeviceSubject) -> x509.Certificate:
    """Return a device certificate of this authority that no registry knows."""
    builder = profiles.device(
        "Birthmark",
        subject,
        x509.random_serial_number(),
        NOW,
        730,
        authority.certificates.intermediate,
        "http://127.0.0.1/crl",
    )
    return builder.sign(intermediate_key(authority), hashes.SHA256())


def intermediate_key(authority: Authority) -> ec.EllipticCurvePrivateKey:
    assert isinstance(authority.issuer, KeyFileIssuer)
    return authority.issuer._key


def under_our_root(
    honest: Authority, root_key: ec.EllipticCurvePrivateKey, usages: tuple[x509.ObjectIdentifier, ...] | None
) -> Authority:
    """Return this authority with another intermediate, of these extended key usages, and a station of that one."""
    intermediate_key, station_key = soft.new_key(), soft.new_key()
    root = honest.certificates.root
    builder = profiles.intermediate("Birthmark", intermediate_key.public_key(), NOW, root)
    intermediate = with_usages(builder, usages).sign(root_key, hashes.SHA256())
    station = profiles.station("Birthmark", "other", station_key.public_key(), NOW, intermediate)
    certificates = AuthorityCertificates(root, intermediate)
    return Authority(
        certificates,
        KeyFileIssuer(AuthorityConfig(), certificates, intermediate_key, intermediate.not_valid_before_utc),
        StationIdentity(station.sign(intermediate_key, hashes.SHA256()), (intermediate, root), station_key),
    )


def foreign(honest: Authority, folder: Path) -> Authority:
    """Make another authority with the same names in `folder`."""
    secret = StationSecret.generate()
    files.create(folder / "authority", StationConfig(), secret, NOW, "a passphrase for tests")
    return files.load(folder, StationConfig(), secret)


def point() -> bytes:
    """Return a fresh HPKE public key."""
    return NucHashDecryptor(ec.generate_private_key(ec.SECP256R1())).public
