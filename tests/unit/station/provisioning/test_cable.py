"""The station's part of a session, step by step, with a device in software.

Nothing is written before all is verified.
"""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from shared.errors import BirthmarkError
from shared.protocol.messages import (
    ChallengeBody,
    CredentialsBody,
    Identity,
    Receipt,
    ReceiptBody,
    TableImport,
    decode_body,
)
from shared.protocol.nuc_encryption import NucHashDecryptor, encrypt_nuc_hash
from shared.protocol.signing import signed_bytes
from shared.types import NucHash
from station.authority.certificates import AuthorityCertificates
from station.authority.key_file import KeyFileIssuer
from station.events import BusEvent, UnitChanged
from station.provisioning.cable import ChallengedUnit, IssuedUnit
from station.registry import revocation
from station.registry.records import UnitState
from tests.harness.bare_station import NOW
from tests.harness.certificates import NOW as CERTIFICATES_AT
from tests.harness.certificates import chain_of_trust
from tests.harness.soft_device import SERIAL, Device, Key
from tests.harness.soft_unit import (
    NUC,
    VENDOR,
    Provisioning,
    identity,
    open_provisioning,
    prove,
    receipt_body,
    sign_receipt,
)

PORT = "/dev/ttyACM0"

AFTER_IDENTITY, BEFORE_PROOF, AFTER_PROOF, BEFORE_RECEIPT = (
    hashlib.sha256(place.encode()).digest() for place in ("identity", "challenge", "proof", "credentials")
)


@pytest.fixture
async def station(tmp_path: Path) -> AsyncIterator[Provisioning]:
    async with open_provisioning(tmp_path) as provisioning:
        yield provisioning


def challenge(station: Provisioning, said: Identity) -> ChallengedUnit:
    return station.provisioner.challenge(station.bare_station.own.identity(), said, AFTER_IDENTITY)


async def issue(station: Provisioning, device: Device, nuc: NucHash = NUC) -> IssuedUnit:
    unit = challenge(station, identity(device))
    proof = prove(device, unit.secret, unit.message, BEFORE_PROOF, nuc)
    return await station.provisioner.issue(unit, proof, BEFORE_PROOF, AFTER_PROOF, PORT)


def sign(device: Device, body: ReceiptBody) -> Receipt:
    return sign_receipt(device.device, body, BEFORE_RECEIPT)


def verify_as_agent(station: Provisioning, kind: type, transcript: bytes, body: bytes, signature: bytes) -> None:
    key = station.bare_station.own.identity().certificate.public_key()
    assert isinstance(key, ec.EllipticCurvePublicKey)
    key.verify(signature, signed_bytes(kind, transcript, body), ec.ECDSA(hashes.SHA256()))


# --- greeting and challenge ---


def test_each_greeting_has_a_nonce_of_its_own_and_the_stations_time_and_chain(station: Provisioning) -> None:
    one, other = station.provisioner.greet().message, station.provisioner.greet().message
    assert one.nonce != other.nonce
    assert one.time == NOW
    assert one.chain == station.bare_station.own.identity().chain


def test_a_clock_that_was_set_back_greets_with_no_time_before_the_stations_certificate(station: Provisioning) -> None:
    station.bare_station.clock.now = 0.0
    assert (
        station.provisioner.greet().message.time
        == station.bare_station.own.identity().certificate.not_valid_before_utc.timestamp()
    )


def test_a_challenge_is_signed_by_the_station_over_this_session(station: Provisioning) -> None:
    unit = challenge(station, identity(Device()))
    verify_as_agent(station, ChallengeBody, AFTER_IDENTITY, unit.message.body, unit.message.signature)
    assert unit.secret not in unit.message.body


def test_two_challenges_share_no_secret_and_no_key(station: Provisioning) -> None:
    device = Device()
    one, other = (challenge(station, identity(device)) for _ in range(2))
    assert one.secret != other.secret
    keys = [decode_body(ChallengeBody, unit.message.body).hpke_key for unit in (one, other)]
    assert keys[0] != keys[1]


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"serial": "../../etc/passwd"}, "identity.serial-invalid"),
        ({"ek_certificate": b""}, "attestation.ek-missing"),
        ({"ek_certificate": VENDOR.ek(Device().ek.private.public_key())}, "attestation.ek-other-key"),
    ],
)
def test_an_invalid_identity_is_not_challenged(station: Provisioning, change: dict[str, object], code: str) -> None:
    said = msgspec.structs.replace(identity(Device()), **change)
    with pytest.raises(BirthmarkError) as caught:
        challenge(station, said)
    assert caught.value.code == code


# --- issuing ---


async def test_a_unit_that_proves_itself_is_issued_with_all_that_was_proven(station: Provisioning) -> None:
    device = Device()
    with station.bus.listen() as events:
        issued = await issue(station, device)
        told: list[BusEvent] = [events.get_nowait() for _ in range(events.qsize())]
    assert told == [UnitChanged(SERIAL)]
    [unit] = await station.units()
    assert (unit.serial, unit.state, unit.port, unit.issued_at) == (SERIAL, UnitState.ISSUED, PORT, NOW)
    assert (unit.ek_trust, unit.tpm_firmware) == ("verified", "7.85.4555.0")
    assert not issued.granted.resumed
    assert unit.certificate == issued.granted.certificate
    certificate = x509.load_der_x509_certificate(issued.granted.certificate.der)
    assert certificate.public_key() == device.device.private.public_key()
    certificate.verify_directly_issued_by(station.bare_station.authority.certificates.intermediate)


async def test_credentials_are_signed_over_this_session_and_hold_chain_and_wrapped_tables(
    station: Provisioning,
) -> None:
    issued = await issue(station, Device())
    verify_as_agent(station, CredentialsBody, AFTER_PROOF, issued.message.body, issued.message.signature)
    body = decode_body(CredentialsBody, issued.message.body)
    [unit] = await station.units()
    assert unit.certificate is not None
    assert body.chain[0] == unit.certificate.der
    assert tuple(table.table_id for table in body.tables) == unit.tables == tuple(issued.names)
    assert body.validation_endpoint == station.bare_station.config.validation_endpoint
    for table in unit.tables:
        assert station.bare_station.tables.master_key(table).secret() not in issued.message.body


async def test_a_proof_that_fails_leaves_nothing_written(station: Provisioning) -> None:
    device = Device()
    unit = challenge(station, identity(device))
    honest = prove(device, unit.secret, unit.message, BEFORE_PROOF)
    lies = {
        "attestation.secret-wrong": {"secret": bytes(32)},
        "nuc.not-sealed-here": {
            "nuc_hash": encrypt_nuc_hash(
                NUC, NucHashDecryptor(ec.generate_private_key(ec.SECP256R1())).public, BEFORE_PROOF
            )
        },
    }
    for code, change in lies.items():
        with pytest.raises(BirthmarkError) as caught:
            await station.provisioner.issue(
                unit, msgspec.structs.replace(honest, **change), BEFORE_PROOF, AFTER_PROOF, PORT
            )
        assert caught.value.code == code
    with pytest.raises(BirthmarkError) as caught:  # of another session
        await station.provisioner.issue(unit, honest, AFTER_PROOF, AFTER_PROOF, PORT)
    assert caught.value.code == "attestation.certify-other-session"
    assert await station.units() == []
    assert await station.log() == []


async def test_a_unit_that_comes_back_gets_the_same_certificate_and_tables_wrapped_anew(station: Provisioning) -> None:
    device = Device()
    first, again = await issue(station, device), await issue(station, device)
    assert again.granted.resumed
    bodies = [decode_body(CredentialsBody, issued.message.body) for issued in (first, again)]
    assert bodies[0].chain == bodies[1].chain
    assert bodies[0].tables != bodies[1].tables
    assert [list(issued.names) for issued in (first, again)] == [list(first.names)] * 2
    assert len(await station.units()) == 1


async def test_a_units_credentials_are_not_given_to_another_tpm(station: Provisioning) -> None:
    await issue(station, Device())
    with pytest.raises(BirthmarkError) as caught:
        await issue(station, Device(), NucHash(bytes(range(1, 33))))
    assert caught.value.code == "registry.serial-taken"
    assert len(await station.units()) == 1


# --- the receipt ---


async def test_a_receipt_for_all_that_was_given_makes_the_unit_provisioned_once(station: Provisioning) -> None:
    device = Device()
    issued = await issue(station, device)
    receipt = sign(device, receipt_body(device, issued.message, BEFORE_RECEIPT))
    unit = await station.provisioner.confirm(issued, receipt, BEFORE_RECEIPT)
    assert (unit.state, unit.provisioned_at) == (UnitState.PROVISIONED, NOW)
    assert unit.duration_ms is not None
    station.bare_station.clock.now += 60
    again = await station.provisioner.confirm(issued, receipt, BEFORE_RECEIPT)
    assert again == unit
    assert [row.event for row in await station.log()] == ["reserved", "issued", "provisioned"]


async def test_a_receipt_for_anything_else_is_refused_and_the_unit_stays_issued(station: Provisioning) -> None:
    device = Device()
    issued = await issue(station, device)
    honest = receipt_body(device, issued.message, BEFORE_RECEIPT)
    stranger = TableImport(table_id=2499, attest=honest.tables[0].attest, signature=honest.tables[0].signature)
    exchanged = msgspec.structs.replace(
        honest.tables[0], attest=honest.tables[1].attest, signature=honest.tables[1].signature
    )
    for code, receipt in (
        ("session.receipt-forged", sign_receipt(Key(device.device.attributes), honest, BEFORE_RECEIPT)),
        ("session.receipt-differs", sign(device, msgspec.structs.replace(honest, stored=bytes(32)))),
        ("session.receipt-differs", sign(device, msgspec.structs.replace(honest, tables=honest.tables[:2]))),
        (
            "session.receipt-differs",
            sign(device, msgspec.structs.replace(honest, tables=(*honest.tables[:2], stranger))),
        ),
        (
            "attestation.table-not-imported",
            sign(device, msgspec.structs.replace(honest, tables=(exchanged, *honest.tables[1:]))),
        ),
    ):
        with pytest.raises(BirthmarkError) as caught:
            await station.provisioner.confirm(issued, receipt, BEFORE_RECEIPT)
        assert caught.value.code == code
    with pytest.raises(BirthmarkError) as caught:  # of another session
        await station.provisioner.confirm(issued, sign(device, honest), AFTER_PROOF)
    assert caught.value.code == "session.receipt-forged"
    [unit] = await station.units()
    assert unit.state is UnitState.ISSUED


async def test_a_unit_released_before_its_receipt_is_not_provisioned(station: Provisioning) -> None:
    device = Device()
    issued = await issue(station, device)
    async with station.bare_station.database.write() as connection:
        await revocation.release(connection, SERIAL, "a test", NOW)
    with pytest.raises(BirthmarkError) as caught:
        await station.provisioner.confirm(
            issued, sign(device, receipt_body(device, issued.message, BEFORE_RECEIPT)), BEFORE_RECEIPT
        )
    assert caught.value.code == "registry.released-meanwhile"


# --- a unit that comes back later ---


async def test_a_unit_with_an_expired_certificate_leaves_with_a_new_one_for_its_key_and_tables(
    station: Provisioning,
) -> None:
    device = Device()
    first = await issue(station, device)
    await station.provisioner.confirm(
        first, sign(device, receipt_body(device, first.message, BEFORE_RECEIPT)), BEFORE_RECEIPT
    )
    station.bare_station.clock.now = first.granted.certificate.not_after
    again = await issue(station, device)
    assert not again.granted.resumed
    new = x509.load_der_x509_certificate(decode_body(CredentialsBody, again.message.body).chain[0])
    assert new.not_valid_after_utc.timestamp() > first.granted.certificate.not_after
    assert new.public_key() == device.device.private.public_key()
    assert list(again.names) == list(first.names)
    unit = await station.provisioner.confirm(
        again, sign(device, receipt_body(device, again.message, BEFORE_RECEIPT)), BEFORE_RECEIPT
    )
    assert (unit.state, unit.provisioned_at) == (UnitState.PROVISIONED, NOW)
    assert unit.certificate is not None
    assert unit.certificate.id == again.granted.certificate.id
    assert [row.event for row in await station.log()][3:] == ["reserved", "issued", "renewed"]


async def test_a_unit_that_an_earlier_intermediate_issued_is_sent_a_whole_chain(
    station: Provisioning, monkeypatch: pytest.MonkeyPatch
) -> None:
    device, bare_station, other = Device(), station.bare_station, chain_of_trust()
    first = await issue(station, device)
    before = bare_station.authority.certificates
    now = AuthorityCertificates(before.root, other.intermediate, (before.intermediate,))
    issuer = KeyFileIssuer(bare_station.config.authority, now, other.intermediate_key, CERTIFICATES_AT)
    monkeypatch.setattr(bare_station.issuance, "issuer", issuer)
    again = await issue(station, device)
    assert again.granted.resumed
    chains = [decode_body(CredentialsBody, issued.message.body).chain for issued in (first, again)]
    assert chains[0] == chains[1]
    assert x509.load_der_x509_certificate(chains[1][1]) == before.intermediate


# --- refusals ---


async def test_a_refusal_is_recorded_with_its_code_and_what_the_device_says_is_cleaned(station: Provisioning) -> None:
    await station.provisioner.refused("1000\n<b>", PORT, BirthmarkError("attestation.ek-missing"))
    [row] = await station.log()
    assert (row.event, row.at) == ("refused", NOW)
    assert "\n" not in row.serial
    detail = msgspec.json.decode(row.detail)
    assert (detail["code"], detail["port"]) == ("attestation.ek-missing", PORT)
    assert row.station == station.bare_station.config.name
