"""Provisions units without a cable, for the HTTP interface and the command line.

Nothing here proves who the unit is: the caller is trusted to name it, and its row says that its key is in software or
was made by the station.
"""

from __future__ import annotations

import base64
import datetime as dt
import os
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Annotated, Final

import msgspec
from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from cryptography.x509.oid import NameOID
from msgspec import Meta

from runtime.clock import SYSTEM_CLOCK, Clock, unix_time, utc_now
from shared import limits
from shared.birthmark.provisioning import Provisioning
from shared.errors import BirthmarkError, ErrorCode
from shared.text import printable
from shared.types import BoardSerial, MasterKey, NucHash, TableId, board_serial, serial_key
from shared.x509_profile import UNREADABLE, is_p256
from station.attestation.csr import read_csr
from station.config import StationConfig
from station.events import Bus, UnitChanged
from station.provisioning.issuance import Issuance, Subject
from station.registry import reservations, units
from station.registry.database import Connection, Database
from station.registry.records import Applicant, KeyHolder, Reservation, Signed
from station.secrets.blind_index import BlindIndex, key_fingerprint
from station.secrets.key_tables import KeyTables
from station.secrets.station_secret import StationSecret

FAMILY_CHARACTERS: Final = 64
CSR_CHARACTERS: Final = 2 * limits.CSR_BYTES

_PUBLIC_NAME: Final = "Birthmark Device "

_Family = Annotated[str, Meta(max_length=FAMILY_CHARACTERS, extra_json_schema={"format": "printable"})]

FIELD_OF: Final[dict[ErrorCode, str]] = {
    "provisioning.csr-key-unsupported": "csr",
    "provisioning.csr-malformed": "csr",
    "provisioning.csr-subject-differs": "csr",
    "provisioning.family-invalid": "device_family",
    "provisioning.nuc-hash-invalid": "nuc_hash",
    "provisioning.phase-two-refused": "device_secret",
    "provisioning.station-keys-off": "csr",
    "identity.serial-invalid": "device_serial",
    "registry.device-key-taken": "csr",
    "registry.duplicate-nuc": "nuc_hash",
    "registry.reservation-lost": "device_serial",
    "registry.serial-taken": "device_serial",
}
"""Error code → the field of the request that is wrong."""


class ProvisioningRequest(msgspec.Struct, frozen=True):
    """A request for one unit, as it was received; `OfflineProvisioner.provision` checks the fields.

    Unknown fields are ignored, as the public SMA ignores them.
    """

    device_serial: Annotated[str, Meta(max_length=limits.SERIAL_CHARACTERS, pattern=r"^[A-Za-z0-9][A-Za-z0-9._:-]*\Z")]
    device_family: Annotated[_Family | None, Meta(description="Default: the configured family.")] = None
    nuc_hash: Annotated[
        Annotated[str, Meta(max_length=64, pattern=r"^(?!0{64})([0-9a-fA-F]{64})?\Z")] | None,
        Meta(
            description="64 hexadecimal digits; absent or empty, "
            "the station makes one, as the public SMA does, and returns it."
        ),
    ] = None
    csr: Annotated[
        Annotated[str, Meta(max_length=CSR_CHARACTERS, extra_json_schema={"format": "pkcs10"})] | None,
        Meta(description="PKCS#10, PEM or base64 of DER."),
    ] = None
    device_secret: Annotated[
        Annotated[str, Meta(max_length=64)] | None,
        Meta(description="Null or absent: no unit is provisioned in the public SMA's second form."),
    ] = None

    def __repr__(self) -> str:
        return f"ProvisioningRequest({self.device_serial!r})"  # a NUC hash is secret


@dataclass(frozen=True, slots=True, repr=False)
class ProvisionedUnit:
    """What a new unit is given. Holds secrets that the station does not store."""

    serial: BoardSerial
    family: str
    key_holder: KeyHolder
    tables: tuple[TableId, ...]
    chain: tuple[bytes, ...]
    """DER: device, intermediate, root."""
    public_key: ec.EllipticCurvePublicKey
    private_key: ec.EllipticCurvePrivateKey | None
    """None when the unit has its own key."""
    nuc_hash: NucHash | None
    """None when the unit gave the NUC hash and keeps its own key."""
    master_keys: dict[TableId, MasterKey]
    """Empty when the unit keeps its own key."""

    @property
    def certificate_serial(self) -> str:
        """Hexadecimal."""
        return f"{x509.load_der_x509_certificate(self.chain[0]).serial_number:x}"

    def provisioning(self) -> Provisioning:
        """The provisioning file; without private and master keys for a unit with its own key."""
        device, intermediate, _root = (
            x509.load_der_x509_certificate(der).public_bytes(Encoding.PEM).decode() for der in self.chain
        )
        key = self.private_key
        return Provisioning(
            device_serial=self.serial,
            device_family=self.family,
            device_certificate=device,
            certificate_chain=intermediate,
            device_public_key=self.public_key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode(),
            table_assignments=list(self.tables),
            key_holder=self.key_holder.value,
            nuc_hash=self.nuc_hash.secret().hex() if self.nuc_hash else "",
            device_private_key=_pem(key) if key else "",
            master_keys={str(table): master.secret().hex() for table, master in self.master_keys.items()},
        )


class OfflineProvisioner:
    """Provisions units without a cable. Takes any number of requests at once."""

    def __init__(
        self,
        config: StationConfig,
        secret: StationSecret,
        issuance: Issuance,
        tables: KeyTables,
        database: Database,
        bus: Bus,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        self._config = config
        self._blind_index = BlindIndex(secret)
        self._issuance = issuance
        self._tables = tables
        self._database = database
        self._bus = bus
        self._clock = clock

    async def provision(
        self, request: ProvisioningRequest, origin: str, keep: Callable[[ProvisionedUnit], None] | None = None
    ) -> ProvisionedUnit:
        """Make the unit, or nothing. The registry records `origin`, where the request came from.

        Calls `keep` with the result before the unit's record is committed, and for no unit that is another request's;
        when `keep` raises, no unit is made.
        Raises the errors that `FIELD_OF` names.
        """
        begun = time.monotonic()
        if request.device_secret is not None:
            raise BirthmarkError("provisioning.phase-two-refused")
        serial = board_serial(request.device_serial)
        family = self._choose_family(request.device_family)
        given = parse_nuc_hash(request.nuc_hash) if request.nuc_hash else None
        nuc_hash = given or NucHash(os.urandom(32))
        private_key = self._make_key() if request.csr is None else None
        csr = (request.csr or "").encode(errors="replace")
        public_key = private_key.public_key() if private_key else key_of_csr(csr, serial)
        applicant = Applicant(
            serial=serial,
            key_holder=KeyHolder.STATION if private_key else KeyHolder.SOFTWARE,
            family=family,
            station=self._config.name,
            port=printable(origin),
            device_fingerprint=key_fingerprint(public_key),
            nuc_blind_index=self._blind_index.of(nuc_hash),
        )
        now = utc_now(self._clock)
        reservation = await self._reserve(applicant, now)
        try:
            certificate = await self._issuance.sign(applicant, Subject(public_key, nuc_hash), reservation, now)
            provisioned = ProvisionedUnit(
                serial,
                family,
                applicant.key_holder,
                reservation.tables,
                self._issuance.issuer.chain_of(certificate.public_bytes(Encoding.DER)),
                public_key,
                private_key,
                nuc_hash if private_key or given is None else None,
                {table: self._tables.master_key(table) for table in reservation.tables} if private_key else {},
            )
            signed = self._issuance.signed(certificate)
            async with self._database.write() as connection:
                await self._record(connection, reservation, signed, applicant, now, begun)
                if keep is not None:  # here, where nobody else can be given this unit, and before it is committed
                    keep(provisioned)
        except BaseException:
            with suppress(BirthmarkError):  # it expires otherwise
                await self._give_up(reservation)
            raise
        self._bus.tell(UnitChanged(serial))
        return provisioned

    async def _reserve(self, applicant: Applicant, now: dt.datetime) -> Reservation:
        granted = await self._issuance.reserve(applicant, now)
        if not isinstance(granted, Reservation):  # without a TPM nobody is recognised as a unit
            raise BirthmarkError("registry.serial-taken", applicant.serial)
        return granted

    async def _record(
        self,
        connection: Connection,
        reservation: Reservation,
        signed: Signed,
        applicant: Applicant,
        now: dt.datetime,
        begun: float,
    ) -> None:
        seconds = int(now.timestamp())
        unit = await reservations.record(connection, reservation, signed, applicant, seconds)
        if unit.certificate is None or unit.certificate.der != signed.der:
            raise BirthmarkError("registry.reservation-lost", applicant.serial)  # another request's was recorded
        await units.confirm(connection, unit.id, seconds, int((time.monotonic() - begun) * 1000))

    async def _give_up(self, reservation: Reservation) -> None:
        async with self._database.write() as connection:
            await reservations.give_up(connection, reservation, unix_time(self._clock))

    def _choose_family(self, given: str | None) -> str:
        family = given or self._config.provisioning.device_family
        if printable(family, FAMILY_CHARACTERS) != family:
            raise BirthmarkError("provisioning.family-invalid")
        return family

    def _make_key(self) -> ec.EllipticCurvePrivateKey:
        if not self._config.provisioning.station_made_keys:
            raise BirthmarkError("provisioning.station-keys-off")
        return ec.generate_private_key(ec.SECP256R1())


def _pem(key: ec.EllipticCurvePrivateKey) -> str:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


def parse_nuc_hash(text: str) -> NucHash:
    """Parse a NUC hash of 64 hexadecimal digits.

    Raises `provisioning.nuc-hash-invalid`, which does not quote the text.
    """
    try:
        # fromhex accepts white space; a hash has none.
        return NucHash(bytes.fromhex(text) if len(text) == 64 and text.isalnum() else b"")
    except (ValueError, BirthmarkError):
        raise BirthmarkError("provisioning.nuc-hash-invalid") from None


def key_of_csr(data: bytes, serial: BoardSerial) -> ec.EllipticCurvePublicKey:
    """Return the key that signed a CSR (PKCS#10: PEM, DER, or base64 of DER) which names no other unit than `serial`.

    Its common names may be the serial number or, as in Birthmark's older certificates, `Birthmark Device SERIAL`; its
    serial numbers are the serial number. The rest of the subject is ignored, and a request may name nobody.
    Raises `provisioning.csr-malformed`, `provisioning.csr-key-unsupported` or `provisioning.csr-subject-differs`.
    """
    if len(data) > CSR_CHARACTERS:
        raise BirthmarkError("provisioning.csr-malformed", f"it is larger than {CSR_CHARACTERS} bytes")
    try:
        request = read_csr(_der_of(data))
    except UnsupportedAlgorithm:
        raise BirthmarkError("provisioning.csr-key-unsupported") from None
    except ValueError:
        raise BirthmarkError("provisioning.csr-malformed") from None
    if not is_p256(request.key):
        raise BirthmarkError("provisioning.csr-key-unsupported")
    if not request.signature_valid:
        raise BirthmarkError("provisioning.csr-malformed", "its signature is not its key's")
    own = {
        NameOID.COMMON_NAME: (serial_key(serial), serial_key(_PUBLIC_NAME + serial)),
        NameOID.SERIAL_NUMBER: (serial_key(serial),),
    }
    if any(serial_key(str(value)) not in own.get(oid, (serial_key(str(value)),)) for oid, value in request.subject):
        raise BirthmarkError("provisioning.csr-subject-differs")
    return request.key


def _der_of(data: bytes) -> bytes:
    """DER from PEM, DER or base64 of DER. Raises ValueError."""
    if data.lstrip().startswith(b"-----BEGIN"):
        try:
            return x509.load_pem_x509_csr(data.strip()).public_bytes(Encoding.DER)
        except (*UNREADABLE, TypeError) as error:
            raise ValueError("no certificate request") from error
    return data if data.startswith(b"\x30") else base64.b64decode(data.strip(), validate=True)
