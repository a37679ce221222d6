"""The agent's part of a session: states its identity, proves it, stores its credentials.

It sends nothing secret before the station has proven itself, and stores nothing before it has verified everything. The
owner of the session (`device_agent.session.conversation`, or a test) reads the messages and calls the steps in order.
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from device_agent.board.device_tree import Board
from device_agent.session.trust import NOTHING, Remembered, TrustedStation, verify_device_chain, verify_station
from device_agent.session.trusted_authority import TrustedAuthority
from device_agent.storage.identity import Identity, IdentityFile, IdentityStore, SealedMap, Secrets, StoredTable
from device_agent.storage.sealed_map import NucMap, seal_map
from device_agent.storage.tpm_blob import Blob
from device_agent.tpm import Tpm
from shared import limits
from shared.errors import BirthmarkError
from shared.protocol.messages import (
    VERSION,
    Challenge,
    ChallengeBody,
    Credentials,
    CredentialsBody,
    Hello,
    Proof,
    Receipt,
    ReceiptBody,
    TableImport,
    decode_body,
    encode,
)
from shared.protocol.messages import Identity as IdentityMessage
from shared.protocol.nuc_encryption import encrypt_nuc_hash
from shared.protocol.signing import signed_bytes, stored_digest
from shared.text import printable
from shared.types import NucHash, TableId

AGENT: Final = f"birthmark-agent {version('birthmark-provisioning')}"


@dataclass(frozen=True, slots=True)
class AgentContext:
    """What stays the same from one session to the next."""

    board: Board
    tpm_name: str
    """The TPM's name, with which later commands find it again: `simulator`, or a TCTI."""
    nuc_map: NucMap | None
    """The NUC map as captured; None for a unit that has it sealed already."""
    authority: TrustedAuthority | None
    """The authority that this unit trusts; None for a unit that knows none yet."""
    remembered: Remembered = NOTHING
    findings: tuple[str, ...] = ()
    """The codes of what is amiss on this Pi, for the station to show."""


@dataclass(frozen=True, slots=True)
class ProvenUnit:
    """A unit that has answered the Challenge of a station that it trusts."""

    message: Proof
    station: TrustedStation
    station_name: str
    """As the station's Hello gives it."""


class AgentSession:
    """One unit in one session. Each session needs a new one."""

    def __init__(self, tpm: Tpm, store: IdentityStore, context: AgentContext) -> None:
        self._tpm = tpm
        self._store = store
        self._context = context
        self._known: Final = store.load()
        self._sealed: Final = self._known.sealed_map if self._known else store.kept_map()
        tpm.public_areas()  # slow on a chip: make it before a station waits for it

    def identify(self, hello: Hello, transcript: bytes) -> IdentityMessage:
        """Answer a Hello. `transcript` is the digest after it."""
        public_areas = self._tpm.public_areas(hello.ek_template)
        return IdentityMessage(
            version=VERSION,
            hello=transcript,
            nonce=os.urandom(32),
            agent=AGENT,
            model=self._context.board.model,
            serial=self._context.board.serial,
            certificate=_fingerprint(self._known.chain[0]) if self._known else b"",
            tpm_manufacturer=printable(self._tpm.manufacturer, 64),
            tpm_firmware=printable(self._tpm.firmware, 64),
            ek_certificate=public_areas.ek_certificate,
            ek_chain=public_areas.ek_chain,
            ek_public=public_areas.ek,
            ak_public=public_areas.ak,
            srk_public=public_areas.srk,
            device_public=public_areas.device,
            findings=self._context.findings[: limits.FINDINGS],
        )

    def prove(self, hello: Hello, challenge: Challenge, before: bytes, after: bytes) -> ProvenUnit:
        """Verify the station by its Hello and Challenge, then answer. `before` and `after` are the digests around it.

        Raises `trust.*`, `session.challenge-malformed`, `tpm.*` and, where there is no NUC hash, `nuc.map-missing`.
        """
        station = verify_station(
            hello.chain,
            hello.time,
            signed_bytes(ChallengeBody, before, challenge.body),
            challenge.signature,
            self._context.authority,
            revoked_stations=hello.revoked_stations,
            remembered=self._context.remembered,
        )
        if self._context.authority is not None:
            self._keep_list(station)
        body = decode_body(ChallengeBody, challenge.body)
        secret = self._tpm.activate(body.credential, body.encrypted_secret)
        if len(secret) != 32:
            raise BirthmarkError("session.challenge-malformed", f"its secret has {len(secret)} bytes, not 32")
        device = self._tpm.certify_device_key(after)
        storage = self._tpm.certify_storage_key(after)
        proof = Proof(
            secret=secret,
            device_attest=device.attest,
            device_signature=device.signature,
            srk_attest=storage.attest,
            srk_signature=storage.signature,
            csr=self._request(),
            nuc_hash=encrypt_nuc_hash(self._nuc_hash(), body.hpke_key, after),
        )
        return ProvenUnit(proof, station, hello.station)

    def accept(self, proven: ProvenUnit, credentials: Credentials, before: bytes, after: bytes) -> Receipt:
        """Verify the Credentials, store them, and sign the receipt.

        `before` and `after` are the digests around them. Raises `trust.*`, `tpm.*` and `disk.*`; then keeps the earlier
        identity, if any.
        """
        signed = signed_bytes(CredentialsBody, before, credentials.body)
        proven.station.verify(credentials.signature, signed)
        body = decode_body(CredentialsBody, credentials.body)
        chain = verify_device_chain(
            body.chain, proven.station, self._tpm.device_public_key(), self._context.board.serial
        )
        table_ids = tuple(TableId(table.table_id) for table in body.tables)
        if len(table_ids) != limits.TABLES_PER_UNIT or len(set(table_ids)) != len(table_ids):
            raise BirthmarkError("trust.tables-malformed", ", ".join(map(str, table_ids)))
        blobs = [self._tpm.import_key(table.public, table.duplicate, table.seed) for table in body.tables]
        certified = [self._tpm.certify_blob(blob, after) for blob in blobs]
        self._keep(body, chain, dict(zip(table_ids, blobs, strict=True)), printable(proven.station_name))
        self._keep_list(proven.station)
        receipt = encode(
            ReceiptBody(
                stored=stored_digest(body.chain, table_ids),
                tables=tuple(
                    TableImport(table_id=table, attest=statement.attest, signature=statement.signature)
                    for table, statement in zip(table_ids, certified, strict=True)
                ),
            )
        )
        digest = hashlib.sha256(signed_bytes(ReceiptBody, after, receipt)).digest()
        return Receipt(body=receipt, signature=self._tpm.sign(digest))

    def done(self) -> Identity:
        """Record that the station has the receipt."""
        self._store.mark_provisioned()
        self._store.tidy()
        identity = self._store.load()
        if identity is None:
            raise BirthmarkError("identity.missing")
        return identity

    def _keep_list(self, station: TrustedStation) -> None:
        """Keep the list of revoked stations, if it is another one. The station's authority must be this unit's."""
        if station.station_list is not None and station.station_list != self._context.remembered.station_list:
            self._store.keep_station_list(station.station_list.crl.public_bytes(Encoding.DER))

    def _nuc_hash(self) -> NucHash:
        if self._context.nuc_map is not None:
            return self._context.nuc_map.hash
        return NucHash(self._tpm.unseal(self._known_map().hash))

    def _known_map(self) -> SealedMap:
        if self._sealed is None:
            raise BirthmarkError("nuc.map-missing")
        return self._sealed

    def _request(self) -> bytes:
        """Make a CSR (PKCS #10) for the board's serial number, signed in the TPM."""
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, self._context.board.serial)])
        request = x509.CertificateSigningRequestBuilder().subject_name(name)
        return request.sign(self._tpm.device_key(), hashes.SHA256()).public_bytes(Encoding.DER)

    def _keep(
        self, body: CredentialsBody, chain: tuple[x509.Certificate, ...], tables: dict[TableId, Blob], station: str
    ) -> None:
        known = self._known
        about = IdentityFile(
            serial=self._context.board.serial,
            model=self._context.board.model,
            authority_id=printable(body.authority_id),
            validation_endpoint=printable(body.validation_endpoint),
            station=station,
            table_ids=tuple(tables),
            tpm=self._context.tpm_name,
            tpm_manufacturer=self._tpm.manufacturer,
            tpm_firmware=self._tpm.firmware,
            ek=self._tpm.endorsement_key(),
        )
        nuc_map: bytes | Path
        if self._context.nuc_map is not None:
            key = os.urandom(32)
            nuc_map = seal_map(self._context.nuc_map, key)
            with self._tpm.encrypted():
                hash_blob, key_blob = self._tpm.seal(self._context.nuc_map.hash.secret()), self._tpm.seal(key)
        else:
            sealed = self._known_map()
            nuc_map, hash_blob, key_blob = sealed.file, sealed.hash, sealed.key
        kept = Secrets(
            tables=tuple(StoredTable(table_id=table, key=blob) for table, blob in tables.items()),
            nuc_hash=hash_blob,
            nuc_map_key=key_blob,
        )
        # A unit that the station has recorded once stays a camera: it needs no second receipt.
        recorded = known is not None and known.provisioned
        same = known is not None and known.chain == chain and known.about.table_ids == about.table_ids
        self._store.store(about, kept, chain, nuc_map, provisioned=recorded and same)


def _fingerprint(certificate: x509.Certificate) -> bytes:
    return certificate.fingerprint(hashes.SHA256())
