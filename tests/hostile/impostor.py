"""Dishonest stations: each is the real one with one answer changed, and names the code the agent is to end with.

A new lie is a new subclass of `Impostor`; the suite finds it. No test lives here.
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

from shared.messages import (
    Challenge,
    ChallengeBody,
    Credentials,
    CredentialsBody,
    Hello,
    Identity,
    Proof,
    decode_body,
    encode,
)
from shared.sealing import NucOpener, signed_bytes
from shared.types import board_serial
from station.attestation.credential import make_credential
from station.attestation.structures import read_public
from station.attestation.wrapping import wrap_hmac_key
from station.authority import authority as authorities
from station.authority import profile
from station.authority.authority import Authority
from station.authority.profile import DeviceSubject
from station.provisioning import Challenged, Issued, Provisioner
from station.secret import StationSecret
from tests.hostile.liar import but
from tests.hostile.stage import Stage
from tests.unit.station.attestation import soft_device as soft

NOW: Final = dt.datetime.now(dt.UTC)


class Impostor(Provisioner):
    """Honest as it stands."""

    code: ClassVar[str] = ""
    """What the agent refuses it with."""

    def __init__(self, stage: Stage, folder: Path) -> None:
        honest = stage.station
        authority = self.authority(honest.authority, folder)
        super().__init__(
            honest.config,
            honest.policy,
            honest.makers,
            stage.secret,
            authority,
            honest.tables,
            honest.database,
            honest.bus,
            self.clock,
        )
        self.folder = folder

    # --- what it is and says, and what a lying one makes of it ---

    def authority(self, honest: Authority, folder: Path) -> Authority:
        """Whose certificates it shows, and whose keys it has."""
        return honest

    def clock(self) -> float:
        return time.time()

    def sign_challenge(self, honest: Challenge) -> Challenge:
        return honest

    def challenge_body(self, honest: ChallengeBody, unit: Challenged) -> ChallengeBody:
        return honest

    def credentials_body(self, honest: CredentialsBody, unit: Challenged) -> CredentialsBody:
        return honest

    def sign_credentials(self, honest: Credentials) -> Credentials:
        return honest

    def challenge(self, identity: Identity, transcript: bytes) -> Challenged:
        unit = super().challenge(identity, transcript)
        body = encode(self.challenge_body(decode_body(ChallengeBody, unit.message.body), unit))
        signature = self._authority.sign_as_station(signed_bytes(ChallengeBody, transcript, body))
        return replace(unit, message=self.sign_challenge(Challenge(body=body, signature=signature)))

    async def issue(self, unit: Challenged, proof: Proof, before: bytes, after: bytes, port: str) -> Issued:
        issued = await super().issue(unit, proof, before, after, port)
        body = encode(self.credentials_body(decode_body(CredentialsBody, issued.message.body), unit))
        signature = self._authority.sign_as_station(signed_bytes(CredentialsBody, after, body))
        return replace(issued, message=self.sign_credentials(Credentials(body=body, signature=signature)))


FALSE_FROM_THE_START: Final[list[type[Impostor]]] = []
"""Found out by their Challenge."""

FALSE_IN_THE_END: Final[list[type[Impostor]]] = []
"""Genuine by their Challenge; what they give is false."""


def found_out(code: str, group: list[type[Impostor]]) -> Callable[[type[Impostor]], type[Impostor]]:
    def register(impostor: type[Impostor]) -> type[Impostor]:
        impostor.code = code
        group.append(impostor)
        return impostor

    return register


def at_once(code: str) -> Callable[[type[Impostor]], type[Impostor]]:
    return found_out(code, FALSE_FROM_THE_START)


def by_its_gifts(code: str) -> Callable[[type[Impostor]], type[Impostor]]:
    return found_out(code, FALSE_IN_THE_END)


# --- the Challenge ---


@at_once("message.field-invalid")
class NoSignature(Impostor):
    def sign_challenge(self, honest: Challenge) -> Challenge:
        return but(honest, signature=b"")


@at_once("trust.station-forged")
class GarbageForASignature(Impostor):
    def sign_challenge(self, honest: Challenge) -> Challenge:
        return but(honest, signature=os.urandom(70))


@at_once("trust.station-forged")
class SignatureOverAnotherTranscript(Impostor):
    """What it said to another unit, or to this one in another session."""

    def sign_challenge(self, honest: Challenge) -> Challenge:
        signed = signed_bytes(ChallengeBody, os.urandom(32), honest.body)
        return but(honest, signature=self._authority.sign_as_station(signed))


@at_once("trust.station-forged")
class SignatureOverAnotherBody(Impostor):
    """Somebody on the cable puts an HPKE key of their own into a genuine Challenge."""

    def sign_challenge(self, honest: Challenge) -> Challenge:
        return but(honest, body=encode(but(decode_body(ChallengeBody, honest.body), hpke_key=point())))


@at_once("trust.station-forged")
class SignatureOfAnotherKind(Impostor):
    """A genuine signature of the station over this transcript and body, made as one on Credentials."""

    def challenge(self, identity: Identity, transcript: bytes) -> Challenged:
        unit = super().challenge(identity, transcript)
        signed = signed_bytes(CredentialsBody, transcript, unit.message.body)
        return replace(unit, message=but(unit.message, signature=self._authority.sign_as_station(signed)))


@at_once("trust.station-forged")
class BorrowedCertificate(Impostor):
    """It shows the genuine station's chain, which is public, and signs with a key of its own."""

    def authority(self, honest: Authority, folder: Path) -> Authority:
        return shown(honest, honest.station, soft.new_key())


@at_once("trust.not-a-station")
class DeviceAsStation(Impostor):
    """A unit's certificate of the same authority, and its key."""

    def authority(self, honest: Authority, folder: Path) -> Authority:
        key = soft.new_key()
        unit = DeviceSubject(board_serial("10000000ffffffff"), key.public_key(), b"t" * 32)
        return shown(honest, honest.issue(unit, NOW), key)


@at_once("trust.station-expired")
class ExpiredStation(Impostor):
    """Genuine once."""

    def clock(self) -> float:
        return time.time() + (profile.STATION_DAYS + 1) * 86_400


@at_once("trust.station-expired")
class StationFromBeforeItself(Impostor):
    """By the time it tells its certificate is not valid yet; an honest station never tells such a time."""

    def hello(self) -> Hello:
        return but(super().hello(), time=int(time.time()) - 86_400)


@at_once("trust.station-untrusted")
class ForeignStation(Impostor):
    """Another authority's, and good in itself."""

    def authority(self, honest: Authority, folder: Path) -> Authority:
        return foreign(honest, folder)


@at_once("trust.station-untrusted")
class ForeignStationUnderOurRoot(Impostor):
    """Another authority's station, shown with this authority's intermediate and root above it."""

    def authority(self, honest: Authority, folder: Path) -> Authority:
        other = foreign(honest, folder)
        return shown(honest, other.station, other._station_key)


@at_once("trust.station-untrusted")
class SelfMadeStation(Impostor):
    """It writes its own certificate in the intermediate's name."""

    def authority(self, honest: Authority, folder: Path) -> Authority:
        key = soft.new_key()
        builder = profile.station("Birthmark", "mine", key.public_key(), NOW, honest.intermediate)
        return shown(honest, builder.sign(soft.new_key(), hashes.SHA256()), key)


@at_once("session.challenge-malformed")
class CredentialForAnotherTpm(Impostor):
    def challenge_body(self, honest: ChallengeBody, unit: Challenged) -> ChallengeBody:
        other = read_public(soft.Key(soft.EK, soft.AES_128, soft.NOTHING, soft.POLICY_A).public)
        made = make_credential(other, unit.claims.ak.name(), unit.secret)
        return but(honest, credential=made.id_object, encrypted_secret=made.encrypted_secret)


@at_once("session.challenge-malformed")
class HpkeKeyThatIsNoPoint(Impostor):
    def challenge_body(self, honest: ChallengeBody, unit: Challenged) -> ChallengeBody:
        return but(honest, hpke_key=b"\x04" + b"\xff" * 64)


# --- the Credentials ---


@by_its_gifts("trust.station-forged")
class CredentialsWithGarbageForASignature(Impostor):
    def sign_credentials(self, honest: Credentials) -> Credentials:
        return but(honest, signature=os.urandom(70))


@by_its_gifts("trust.station-forged")
class CredentialsOfAnotherSession(Impostor):
    def sign_credentials(self, honest: Credentials) -> Credentials:
        signed = signed_bytes(CredentialsBody, os.urandom(32), honest.body)
        return but(honest, signature=self._authority.sign_as_station(signed))


class _Chained(Impostor):
    def leaf(self, unit: Challenged) -> x509.Certificate:
        raise NotImplementedError

    def credentials_body(self, honest: CredentialsBody, unit: Challenged) -> CredentialsBody:
        return but(honest, chain=self._authority._chain(self.leaf(unit)))


@by_its_gifts("trust.chain-for-another")
class ChainForAnotherKey(_Chained):
    def leaf(self, unit: Challenged) -> x509.Certificate:
        return self._authority.issue(DeviceSubject(unit.serial, soft.new_key().public_key(), b"t" * 32), NOW)


@by_its_gifts("trust.chain-for-another")
class ChainForAnotherSerialNumber(_Chained):
    def leaf(self, unit: Challenged) -> x509.Certificate:
        return self._authority.issue(
            DeviceSubject(board_serial("10000000ffffffff"), unit.claims.device_key, b"t" * 32), NOW
        )


@by_its_gifts("trust.chain-untrusted")
class ChainWithoutAUsage(_Chained):
    """This unit's key and number, in a certificate that is no device's."""

    def leaf(self, unit: Challenged) -> x509.Certificate:
        builder = profile.device(
            "Birthmark",
            DeviceSubject(unit.serial, unit.claims.device_key, b"t" * 32),
            NOW,
            1,
            self._authority.intermediate,
            "http://127.0.0.1/crl",
        )
        usage = [at for at, one in enumerate(builder._extensions) if isinstance(one.value, x509.ExtendedKeyUsage)]
        del builder._extensions[usage[0]]
        return builder.sign(self._authority._intermediate_key, hashes.SHA256())


@by_its_gifts("trust.chain-untrusted")
class ChainOfAnotherRoot(Impostor):
    """The station is genuine; what it hands out is another authority's."""

    def credentials_body(self, honest: CredentialsBody, unit: Challenged) -> CredentialsBody:
        other = foreign(self._authority, self.folder)
        leaf = other.issue(DeviceSubject(unit.serial, unit.claims.device_key, b"t" * 32), NOW)
        return but(honest, chain=other._chain(leaf))


@by_its_gifts("trust.chain-untrusted")
class ChainThatCannotBeRead(Impostor):
    def credentials_body(self, honest: CredentialsBody, unit: Challenged) -> CredentialsBody:
        return but(honest, chain=(b"\x30\x03\x02\x01\x00", *honest.chain[1:]))


class _Tabled(Impostor):
    def tables(self, honest: tuple[Any, ...], unit: Challenged) -> tuple[Any, ...]:
        raise NotImplementedError

    def credentials_body(self, honest: CredentialsBody, unit: Challenged) -> CredentialsBody:
        return but(honest, tables=self.tables(honest.tables, unit))


@by_its_gifts("message.field-invalid")
class TableOutOfRange(_Tabled):
    def tables(self, honest: tuple[Any, ...], unit: Challenged) -> tuple[Any, ...]:
        return (*honest[:2], but(honest[2], table_id=2500))


@by_its_gifts("message.field-invalid")
class TableBelowZero(_Tabled):
    def tables(self, honest: tuple[Any, ...], unit: Challenged) -> tuple[Any, ...]:
        return (*honest[:2], but(honest[2], table_id=-1))


@by_its_gifts("trust.tables-malformed")
class TableTwice(_Tabled):
    def tables(self, honest: tuple[Any, ...], unit: Challenged) -> tuple[Any, ...]:
        return (*honest[:2], but(honest[2], table_id=honest[0].table_id))


@by_its_gifts("trust.tables-malformed")
class TwoTables(_Tabled):
    def tables(self, honest: tuple[Any, ...], unit: Challenged) -> tuple[Any, ...]:
        return honest[:2]


@by_its_gifts("trust.tables-malformed")
class FourTables(_Tabled):
    def tables(self, honest: tuple[Any, ...], unit: Challenged) -> tuple[Any, ...]:
        return (*honest, but(honest[0], table_id=max(table.table_id for table in honest) + 1))


@by_its_gifts("trust.table-not-for-this-tpm")
class TableForAnotherTpm(_Tabled):
    def tables(self, honest: tuple[Any, ...], unit: Challenged) -> tuple[Any, ...]:
        other = read_public(soft.Key(soft.SRK, soft.AES_128, soft.NOTHING).public)
        made = wrap_hmac_key(other, os.urandom(32))
        wrapped = but(honest[2], public=made.public, duplicate=made.duplicate, seed=made.seed)
        return (*honest[:2], wrapped)


@by_its_gifts("trust.table-not-for-this-tpm")
class TableChangedOnTheWay(_Tabled):
    def tables(self, honest: tuple[Any, ...], unit: Challenged) -> tuple[Any, ...]:
        duplicate = honest[2].duplicate
        return (*honest[:2], but(honest[2], duplicate=duplicate[:-1] + bytes([duplicate[-1] ^ 1])))


# --- what they are made of ---


def shown(honest: Authority, station: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> Authority:
    """This authority, with another certificate in the place of its station's."""
    return Authority(honest._config, honest.root, honest.intermediate, honest._intermediate_key, station, key)


def foreign(honest: Authority, folder: Path) -> Authority:
    """Another authority, made in `folder`, whose names are the same."""
    secret = StationSecret.generate()
    authorities.create(folder / "authority", honest._config, secret, NOW, "a passphrase for tests")
    return Authority.load(folder, honest._config, secret)


def point() -> bytes:
    """An HPKE public key."""
    return NucOpener().public
