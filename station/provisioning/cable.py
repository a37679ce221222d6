"""Provisions a unit over a session: greets, challenges, verifies, issues, confirms, refuses.

It verifies everything before it writes anything. The owner of the session (`station.ports`, or a test) reads the
messages and calls the steps in order.
"""

from __future__ import annotations

import datetime as dt
import hmac
import os
import time
from collections.abc import Callable
from dataclasses import dataclass

from cryptography.hazmat.primitives.asymmetric import ec

from runtime.clock import SYSTEM_CLOCK, Clock, unix_time, utc_now
from shared.birthmark.derivation import extract
from shared.errors import BirthmarkError
from shared.protocol.messages import (
    VERSION,
    Challenge,
    ChallengeBody,
    Credentials,
    CredentialsBody,
    Hello,
    Identity,
    Proof,
    Receipt,
    ReceiptBody,
    WrappedTable,
    decode_body,
    encode,
)
from shared.protocol.nuc_encryption import NucHashDecryptor
from shared.protocol.signing import signed_bytes, stored_digest, verify_signature
from shared.text import printable
from shared.types import BoardSerial, TableId, board_serial
from station.attestation.ek.vendor_directory import VendorsDirectory
from station.attestation.ek.verification import EkTrust, EkVerdict, require_template, verify_ek
from station.attestation.evidence import Claims, examine_identity, examine_import, examine_proof
from station.attestation.tpm2.credential import make_credential
from station.attestation.tpm2.wrapping import WrappedKey, wrap_table_key
from station.authority.station_identity import StationIdentity
from station.config import EkPolicy, StationConfig
from station.events import Bus, UnitChanged
from station.provisioning.issuance import Granted, Issuance, Subject
from station.registry import audit, units
from station.registry.audit import Event
from station.registry.database import Database
from station.registry.records import Applicant, KeyHolder, Reservation, Unit
from station.secrets.blind_index import BlindIndex
from station.secrets.key_tables import KeyTables
from station.secrets.station_secret import StationSecret


@dataclass(frozen=True, slots=True)
class Greeting:
    """A Hello, and the station as the whole session knows it, even if its certificate is renewed meanwhile."""

    message: Hello
    station: StationIdentity


@dataclass(frozen=True, slots=True)
class ChallengedUnit:
    """A unit that said who it is and has to prove it. Holds secrets of this session, which end with it."""

    message: Challenge
    station: StationIdentity
    serial: BoardSerial
    identity: Identity
    claims: Claims
    ek: EkVerdict
    secret: bytes
    opener: NucHashDecryptor
    begun: float
    """When its first message came, in seconds of the monotonic clock."""


@dataclass(frozen=True, slots=True)
class IssuedUnit:
    """A unit that was sent its credentials and has yet to send its receipt."""

    message: Credentials
    granted: Granted
    claims: Claims
    stored: bytes
    names: dict[TableId, bytes]
    """The TPM names of the wrapped table keys."""
    begun: float


class CableProvisioner:
    """Provisions units over the cable, in any number of sessions at once."""

    def __init__(
        self,
        config: StationConfig,
        policy: EkPolicy,
        vendors: VendorsDirectory,
        secret: StationSecret,
        station: Callable[[], StationIdentity],
        issuance: Issuance,
        tables: KeyTables,
        database: Database,
        bus: Bus,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        self._config = config
        self._policy = policy
        self._vendors = vendors
        self._blind_index = BlindIndex(secret)
        self._station = station
        self._issuance = issuance
        self._tables = tables
        self._database = database
        self._bus = bus
        self._clock = clock

    def greet(self) -> Greeting:
        """Make a Hello with a fresh nonce."""
        station = self._station()
        hello = Hello(
            versions=(VERSION,),
            nonce=os.urandom(32),
            station=self._config.name,
            chain=station.chain,
            time=int(station.now(utc_now(self._clock)).timestamp()),
            revoked_stations=station.revoked_stations,
            ek_template=self._config.attestation.ek_template.value,
        )
        return Greeting(hello, station)

    def challenge(self, station: StationIdentity, identity: Identity, transcript: bytes) -> ChallengedUnit:
        """Check a unit's Identity, and make a challenge that only its TPM can answer.

        `station` is that of the Hello; `transcript` is the digest after the Identity. Raises `identity.*` and
        `attestation.*`.
        """
        begun = time.monotonic()
        serial = board_serial(identity.serial)
        claims = examine_identity(identity)
        vendors = self._vendors.current()
        ek = verify_ek(
            *(identity.ek_certificate, vendors, self._policy),
            now=self._now(),
            key=claims.ek.key(),
            chain=identity.ek_chain,
        )
        require_template(ek, claims.ek, self._config.attestation.ek_template)
        secret = os.urandom(32)
        credential = make_credential(claims.ek, claims.ak.name(), secret)
        opener = NucHashDecryptor(ec.generate_private_key(ec.SECP256R1()))
        body = encode(
            ChallengeBody(
                credential=credential.id_object,
                encrypted_secret=credential.encrypted_secret,
                hpke_key=opener.public,
            )
        )
        signature = station.sign(signed_bytes(ChallengeBody, transcript, body))
        return ChallengedUnit(
            Challenge(body=body, signature=signature), station, serial, identity, claims, ek, secret, opener, begun
        )

    async def issue(self, unit: ChallengedUnit, proof: Proof, before: bytes, after: bytes, port: str) -> IssuedUnit:
        """Verify the unit's Proof, then give it its certificate and tables (`station.provisioning.issuance`).

        `before` and `after` are the transcript's digests around the Proof. Raises `attestation.*`, `csr.*`, `nuc.*`,
        `registry.*` and `identity.unknown-certificate`; then writes nothing.
        """
        proven = examine_proof(unit.claims, proof, before, unit.secret, unit.serial)
        nuc_hash = unit.opener.open(proof.nuc_hash, before)
        identity = unit.identity
        facts = unit.ek.facts
        applicant = Applicant(
            serial=unit.serial,
            key_holder=KeyHolder.TPM,
            family=self._config.provisioning.device_family,
            model=printable(identity.model),
            agent=printable(identity.agent, 64),
            station=self._config.name,
            port=printable(port),
            ek_fingerprint=unit.claims.ek_fingerprint,
            device_fingerprint=unit.claims.device_fingerprint,
            nuc_blind_index=self._blind_index.of(nuc_hash),
            certificate_sha256=identity.certificate,
            ek_trust=unit.ek.trust.value,
            ek_reason=printable(unit.ek.reason, 512),
            ek_anchor=printable(unit.ek.anchor, 512),
            tpm_manufacturer=printable(facts.manufacturer_name if facts else identity.tpm_manufacturer, 64),
            tpm_model=printable(facts.model if facts else "", 64),
            tpm_firmware=printable(proven.firmware, 64),
        )
        now = self._now()
        granted = await self._issuance.reserve(applicant, now)
        if isinstance(granted, Reservation):
            subject = Subject(
                unit.claims.device_key, nuc_hash, unit.claims.ek_fingerprint, unit.ek.trust is EkTrust.VERIFIED
            )
            certificate = await self._issuance.sign(applicant, subject, granted, now)
            granted = await self._issuance.record(applicant, granted, certificate, now)
        self._bus.tell(UnitChanged(unit.serial))
        return self._credentials(unit, granted, after)

    def _credentials(self, unit: ChallengedUnit, granted: Granted, transcript: bytes) -> IssuedUnit:
        chain = self._issuance.issuer.chain_of(granted.certificate.der)
        wrapped: dict[TableId, WrappedKey] = {
            table: wrap_table_key(unit.claims.srk, extract(self._tables.master_key(table)))
            for table in granted.unit.tables
        }
        body = encode(
            CredentialsBody(
                chain=chain,
                tables=tuple(
                    WrappedTable(table_id=table, public=key.public, duplicate=key.duplicate, seed=key.seed)
                    for table, key in wrapped.items()
                ),
                authority_id=self._config.authority.authority_id,
                validation_endpoint=self._config.validation_endpoint,
            )
        )
        signature = unit.station.sign(signed_bytes(CredentialsBody, transcript, body))
        return IssuedUnit(
            Credentials(body=body, signature=signature),
            granted,
            unit.claims,
            stored_digest(chain, granted.unit.tables),
            {table: key.name for table, key in wrapped.items()},
            unit.begun,
        )

    async def confirm(self, issued: IssuedUnit, receipt: Receipt, transcript: bytes) -> Unit:
        """Check the receipt for what the unit was given, and record the unit as provisioned.

        `transcript` is the digest before the Receipt. Raises `session.receipt-forged`, `session.receipt-differs`,
        `attestation.table-not-imported` and others of `attestation.*`.
        """
        signed = signed_bytes(ReceiptBody, transcript, receipt.body)
        verify_signature(issued.claims.device_key, receipt.signature, signed, "session.receipt-forged")
        body = decode_body(ReceiptBody, receipt.body)
        if not hmac.compare_digest(body.stored, issued.stored):
            raise BirthmarkError("session.receipt-differs")
        if [table.table_id for table in body.tables] != list(issued.names):
            raise BirthmarkError("session.receipt-differs", "it is for other tables")
        for table in body.tables:
            examine_import(issued.claims, table, issued.names[TableId(table.table_id)], transcript)
        async with self._database.write() as connection:
            duration = int((time.monotonic() - issued.begun) * 1000)
            unit = await units.confirm(connection, issued.granted.unit.id, unix_time(self._clock), duration)
        self._bus.tell(UnitChanged(unit.serial))
        return unit

    async def refused(self, serial: str, port: str, error: BirthmarkError) -> None:
        """Record a refusal. `serial` is the serial number that the device claims, or empty.

        A port that is refused over and over gets a row only now and then, which counts the events without one.
        """
        await self._record(Event.REFUSED, serial, port, error)

    async def not_ready(self, serial: str, port: str, lack: BirthmarkError) -> None:
        """Record that a device says what it lacks. It gets a row under the same limit as a refusal."""
        await self._record(Event.NOT_READY, serial, port, lack)

    async def _record(self, event: Event, serial: str, port: str, error: BirthmarkError) -> None:
        suppressed = self._issuance.audit_limiter.suppressed(printable(port))
        if suppressed is None:
            return
        async with self._database.write() as connection:
            await audit.append(
                connection,
                unix_time(self._clock),
                event,
                printable(serial, 64),
                code=error.code,
                detail=error.detail,
                port=printable(port),
                **audit.after(suppressed),
            )

    def _now(self) -> dt.datetime:
        return self._station().now(utc_now(self._clock))
