"""A unit in software that holds a session, and a station for it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

import msgspec
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from shared.protocol.messages import (
    Challenge,
    ChallengeBody,
    Credentials,
    CredentialsBody,
    Identity,
    Proof,
    Receipt,
    ReceiptBody,
    TableImport,
    decode_body,
    encode,
)
from shared.protocol.nuc_encryption import encrypt_nuc_hash
from shared.protocol.signing import signed_bytes, stored_digest
from shared.types import NucHash, TableId
from station.attestation.tpm2.structures import Alg, object_name
from station.authority.station_identity import StationIdentity
from station.config import StationConfig
from station.events import Bus
from station.provisioning.cable import CableProvisioner, ChallengedUnit
from station.registry import audit
from station.registry.records import Unit
from tests.harness import issuing
from tests.harness.bare_station import BareStation, open_bare_station
from tests.harness.soft_device import Device, Key, certify
from tests.harness.vendor_lab import Vendor, write_roots

VENDOR = Vendor("A Vendor the Station Knows")
NUC = NucHash(bytes(range(32)))


@dataclass
class Provisioning:
    """A station that requires a genuine TPM, and what a unit in software cannot find out as a TPM does."""

    bare_station: BareStation
    secret: bytes = b""
    """The secret of the latest challenge."""

    @property
    def provisioner(self) -> CableProvisioner:
        return self.bare_station.provisioner

    @property
    def bus(self) -> Bus:
        return self.bare_station.bus

    async def units(self) -> list[Unit]:
        async with self.bare_station.database.read() as connection:
            return await issuing.listed(connection)

    async def log(self) -> list[audit.Row]:
        async with self.bare_station.database.read() as connection:
            return list(await audit.read(connection))


@asynccontextmanager
async def open_provisioning(folder: Path) -> AsyncIterator[Provisioning]:
    write_roots(StationConfig().ek_roots(folder), VENDOR)
    async with open_bare_station(folder) as bare_station:
        provisioning = Provisioning(bare_station)
        challenge = bare_station.provisioner.challenge

        def remember(station: StationIdentity, identity: Identity, transcript: bytes) -> ChallengedUnit:
            unit = challenge(station, identity, transcript)
            provisioning.secret = unit.secret
            return unit

        with mock.patch.object(bare_station.provisioner, "challenge", remember):
            yield provisioning


def identity(device: Device, hello: bytes = bytes(32)) -> Identity:
    certificate = VENDOR.ek(device.ek.private.public_key())
    return msgspec.structs.replace(device.identity(), hello=hello, ek_certificate=certificate)


def prove(device: Device, secret: bytes, challenge: Challenge, transcript: bytes, nuc: NucHash = NUC) -> Proof:
    """Make the Proof. `transcript` is the digest after the Challenge."""
    device_attest, device_signature = certify(device.device.name, device.ak, transcript)
    srk_attest, srk_signature = certify(device.srk.name, device.ak, transcript)
    return device.proof(
        secret=secret,
        device_attest=device_attest,
        device_signature=device_signature,
        srk_attest=srk_attest,
        srk_signature=srk_signature,
        nuc_hash=encrypt_nuc_hash(nuc, decode_body(ChallengeBody, challenge.body).hpke_key, transcript),
    )


def receipt_body(device: Device, credentials: Credentials, transcript: bytes) -> ReceiptBody:
    """Make the receipt's body. `transcript` is the digest after the Credentials."""
    given = decode_body(CredentialsBody, credentials.body)
    imports = []
    for table in given.tables:
        attest, signature = certify(object_name(Alg.SHA256, table.public[2:]), device.ak, transcript)
        imports.append(TableImport(table_id=table.table_id, attest=attest, signature=signature))
    numbers = tuple(TableId(table.table_id) for table in given.tables)
    return ReceiptBody(stored=stored_digest(given.chain, numbers), tables=tuple(imports))


def sign_receipt(key: Key, body: ReceiptBody, transcript: bytes) -> Receipt:
    octets = encode(body)
    signed = signed_bytes(ReceiptBody, transcript, octets)
    return Receipt(body=octets, signature=key.private.sign(signed, ec.ECDSA(hashes.SHA256())))
