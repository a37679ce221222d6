"""The agent's part of a session, step by step, with a simulated TPM: it sends and stores nothing before it verifies."""

from __future__ import annotations

import hashlib
import hmac
import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from device_agent.board.device_tree import Board
from device_agent.session.agent_session import AgentContext, AgentSession, ProvenUnit
from device_agent.session.trusted_authority import TrustedAuthority
from device_agent.storage.disk import Disk
from device_agent.storage.identity import IdentityStore
from device_agent.storage.sealed_map import NucMap, open_map
from device_agent.tpm import Simulator, Tpm
from shared import limits
from shared.birthmark.derivation import extract
from shared.errors import BirthmarkError
from shared.protocol.messages import (
    Challenge,
    ChallengeBody,
    Credentials,
    CredentialsBody,
    Hello,
    Identity,
    ReceiptBody,
    WrappedTable,
    decode_body,
    encode,
)
from shared.protocol.nuc_encryption import NucHashDecryptor
from shared.protocol.signing import signed_bytes, stored_digest, verify_signature
from shared.types import MasterKey, TableId
from station.attestation.evidence import examine_identity, examine_import, examine_proof
from station.attestation.tpm2.credential import make_credential
from station.attestation.tpm2.structures import Alg, object_name, read_public
from station.attestation.tpm2.wrapping import wrap_table_key
from station.authority import profiles
from tests.harness.certificates import NOW, SERIAL, AuthorityChain, chain_of_trust

MAP = NucMap(b"a sensor's map" * 64)
MASTER_KEYS = {TableId(number): MasterKey(hashlib.sha256(bytes([number])).digest()) for number in (0, 3, 7)}

AFTER_HELLO, AFTER_IDENTITY, AFTER_CHALLENGE, AFTER_PROOF, AFTER_CREDENTIALS = (
    hashlib.sha256(bytes([place])).digest() for place in range(5)
)


@pytest.fixture(scope="module")
def tpm(simulator: Simulator) -> Iterator[Tpm]:
    tpm = Tpm.open(simulator.tcti)
    yield tpm
    tpm.close()


@pytest.fixture(scope="module")
def ours() -> AuthorityChain:
    return chain_of_trust()


@pytest.fixture
def store(tmp_path: Path) -> IdentityStore:
    tmp_path.chmod(0o700)
    return IdentityStore(tmp_path, Disk())


class Station:
    """An honest station; tests make it dishonest by changing what it signs."""

    def __init__(self, ours: AuthorityChain, tpm: Tpm) -> None:
        self.chain_of_trust = ours
        self.secret = os.urandom(32)
        self.opener = NucHashDecryptor(ec.generate_private_key(ec.SECP256R1()))
        self._publics = tpm.public_areas()
        subject = profiles.DeviceSubject(SERIAL, tpm.device_public_key(), b"t" * 32)
        builder = profiles.device("O", subject, 4711, NOW, 730, ours.intermediate, "http://127.0.0.1/crl")
        self.chain = ours.chain(builder.sign(ours.intermediate_key, hashes.SHA256()))

    def hello(self) -> Hello:
        chain = self.chain_of_trust.chain(self.chain_of_trust.station)
        time = int(NOW.timestamp())
        return Hello(versions=(1,), nonce=bytes(32), station="s", chain=chain, time=time, revoked_stations=b"")

    def challenge(self) -> Challenge:
        ak_name = read_public(self._publics.ak).name()
        made = make_credential(read_public(self._publics.ek), ak_name, self.secret)
        body = encode(
            ChallengeBody(
                credential=made.id_object, encrypted_secret=made.encrypted_secret, hpke_key=self.opener.public
            )
        )
        return Challenge(
            body=body, signature=self.chain_of_trust.sign(signed_bytes(ChallengeBody, AFTER_IDENTITY, body))
        )

    def given(self) -> CredentialsBody:
        tables = []
        for table, master in MASTER_KEYS.items():
            key = wrap_table_key(read_public(self._publics.srk), extract(master))
            tables.append(WrappedTable(table_id=table, public=key.public, duplicate=key.duplicate, seed=key.seed))
        return CredentialsBody(
            chain=self.chain, tables=tuple(tables), authority_id="MA", validation_endpoint="https://ma.example/validate"
        )

    def credentials(self, given: CredentialsBody) -> Credentials:
        body = encode(given)
        return Credentials(
            body=body, signature=self.chain_of_trust.sign(signed_bytes(CredentialsBody, AFTER_PROOF, body))
        )


@pytest.fixture
def station(ours: AuthorityChain, tpm: Tpm) -> Station:
    return Station(ours, tpm)


def setting(ours: AuthorityChain, nuc_map: NucMap | None = MAP) -> AgentContext:
    return AgentContext(Board(SERIAL, "a Pi"), "simulator", nuc_map, TrustedAuthority(ours.root))


def agent_session(tpm: Tpm, store: IdentityStore, station: Station, nuc_map: NucMap | None = MAP) -> AgentSession:
    return AgentSession(tpm, store, setting(station.chain_of_trust, nuc_map))


def prove(unit: AgentSession, station: Station) -> tuple[Identity, ProvenUnit]:
    identity = unit.identify(station.hello(), AFTER_HELLO)
    return identity, unit.prove(station.hello(), station.challenge(), AFTER_IDENTITY, AFTER_CHALLENGE)


def code(action: Callable[[], object]) -> str:
    with pytest.raises(BirthmarkError) as caught:
        action()
    return caught.value.code


def provision(tpm: Tpm, store: IdentityStore, station: Station, nuc_map: NucMap | None = MAP) -> None:
    unit = agent_session(tpm, store, station, nuc_map)
    _, proven = prove(unit, station)
    unit.accept(proven, station.credentials(station.given()), AFTER_PROOF, AFTER_CREDENTIALS)
    unit.done()


# --- who it is, and its proof ---


def test_a_unit_says_who_it_is_and_that_it_holds_no_certificate_yet(
    tpm: Tpm, store: IdentityStore, station: Station
) -> None:
    unit = agent_session(tpm, store, station)
    one, other = (unit.identify(station.hello(), AFTER_HELLO) for _ in range(2))
    assert (one.serial, one.model, one.hello, one.certificate) == (SERIAL, "a Pi", AFTER_HELLO, b"")
    assert one.device_public == tpm.public_areas().device
    assert one.nonce != other.nonce


def test_a_unit_tells_what_is_amiss_on_its_pi_up_to_the_messages_bound(
    tpm: Tpm, store: IdentityStore, station: Station
) -> None:
    lacks = ("nuc.map-missing", "board.clock-wrong")
    unit = AgentSession(tpm, store, replace(setting(station.chain_of_trust), findings=lacks))
    assert unit.identify(station.hello(), AFTER_HELLO).findings == lacks
    many = AgentSession(tpm, store, replace(setting(station.chain_of_trust), findings=lacks * limits.FINDINGS))
    assert len(many.identify(station.hello(), AFTER_HELLO).findings) == limits.FINDINGS


def test_a_station_accepts_a_valid_proof_and_opens_the_nuc_hash(
    tpm: Tpm, store: IdentityStore, station: Station
) -> None:
    identity, proven = prove(agent_session(tpm, store, station), station)
    examine_proof(examine_identity(identity), proven.message, AFTER_CHALLENGE, station.secret, SERIAL)
    assert station.opener.open(proven.message.nuc_hash, AFTER_CHALLENGE) == MAP.hash


def test_an_untrusted_station_gets_no_secret(
    tpm: Tpm, store: IdentityStore, station: Station, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(*_: object) -> bytes:
        raise AssertionError("the TPM was asked")

    monkeypatch.setattr(tpm, "activate", never)
    honest = station.challenge()
    other = Station(chain_of_trust(), tpm)
    for expected, hello, challenge in (
        (
            "trust.station-forged",
            station.hello(),
            msgspec.structs.replace(honest, signature=other.chain_of_trust.sign()),
        ),
        ("trust.station-forged", station.hello(), msgspec.structs.replace(honest, body=other.challenge().body)),
        ("trust.station-untrusted", other.hello(), other.challenge()),
    ):
        unit = agent_session(tpm, store, station)
        assert code(lambda: unit.prove(hello, challenge, AFTER_IDENTITY, AFTER_CHALLENGE)) == expected  # noqa: B023


def test_a_challenge_of_another_session_is_not_answered(tpm: Tpm, store: IdentityStore, station: Station) -> None:
    unit = agent_session(tpm, store, station)
    hello, challenge = station.hello(), station.challenge()
    assert code(lambda: unit.prove(hello, challenge, AFTER_HELLO, AFTER_CHALLENGE)) == "trust.station-forged"


def test_a_secret_of_another_length_is_not_printed(tpm: Tpm, store: IdentityStore, station: Station) -> None:
    station.secret = os.urandom(16)
    assert code(lambda: prove(agent_session(tpm, store, station), station)) == "session.challenge-malformed"


def test_without_a_map_there_is_no_proof(tpm: Tpm, store: IdentityStore, station: Station) -> None:
    assert code(lambda: prove(agent_session(tpm, store, station, None), station)) == "nuc.map-missing"


# --- what it is given ---


def test_credentials_are_stored_and_signed_for_and_usable_in_this_tpm(
    tpm: Tpm, store: IdentityStore, station: Station
) -> None:
    unit = agent_session(tpm, store, station)
    identity, proven = prove(unit, station)
    given = station.given()
    receipt = unit.accept(proven, station.credentials(given), AFTER_PROOF, AFTER_CREDENTIALS)

    claims = examine_identity(identity)
    signed = signed_bytes(ReceiptBody, AFTER_CREDENTIALS, receipt.body)
    verify_signature(tpm.device_public_key(), receipt.signature, signed, "session.receipt-forged")
    body = decode_body(ReceiptBody, receipt.body)
    assert body.stored == stored_digest(given.chain, tuple(MASTER_KEYS))
    for table, wrapped in zip(body.tables, given.tables, strict=True):
        examine_import(claims, table, object_name(Alg.SHA256, wrapped.public[2:]), AFTER_CREDENTIALS)

    kept = store.load()
    assert kept is not None
    assert not kept.provisioned
    assert kept.about.table_ids == tuple(MASTER_KEYS)
    assert kept.about.station == station.hello().station
    assert tpm.unseal(kept.secrets.nuc_hash) == MAP.hash.secret()
    assert open_map(kept.sealed_map.file, tpm.unseal(kept.secrets.nuc_map_key)).data == MAP.data
    for kept_table in kept.secrets.tables:
        table_key = extract(MASTER_KEYS[TableId(kept_table.table_id)])
        assert tpm.hmac(kept_table.key, b"x") == hmac.digest(table_key.secret(), b"x", "sha256")
    assert unit.done().provisioned


def two_tables(given: CredentialsBody) -> CredentialsBody:
    return msgspec.structs.replace(given, tables=given.tables[:2])


def table_twice(given: CredentialsBody) -> CredentialsBody:
    return msgspec.structs.replace(given, tables=(*given.tables[:2], given.tables[0]))


def for_another_tpm(given: CredentialsBody) -> CredentialsBody:
    exchanged = msgspec.structs.replace(given.tables[0], seed=given.tables[1].seed)
    return msgspec.structs.replace(given, tables=(exchanged, *given.tables[1:]))


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (two_tables, "trust.tables-malformed"),
        (table_twice, "trust.tables-malformed"),
        (for_another_tpm, "trust.table-not-for-this-tpm"),
    ],
)
@pytest.mark.parametrize("known", [False, True])
def test_invalid_credentials_are_not_stored_and_the_old_identity_stays(
    tpm: Tpm,
    store: IdentityStore,
    station: Station,
    change: Callable[[CredentialsBody], CredentialsBody],
    expected: str,
    known: bool,
) -> None:
    if known:
        provision(tpm, store, station)
    before = store.load()
    unit = agent_session(tpm, store, station)
    _, proven = prove(unit, station)
    wrong = station.credentials(change(station.given()))
    assert code(lambda: unit.accept(proven, wrong, AFTER_PROOF, AFTER_CREDENTIALS)) == expected
    assert store.load() == before


def test_a_chain_for_another_unit_and_a_forged_signature_are_refused(
    tpm: Tpm, store: IdentityStore, station: Station
) -> None:
    unit = agent_session(tpm, store, station)
    _, proven = prove(unit, station)
    given = station.given()
    others = msgspec.structs.replace(given, chain=station.chain_of_trust.chain(station.chain_of_trust.device))
    forged = msgspec.structs.replace(station.credentials(given), body=encode(others))
    for wrong, expected in (
        (station.credentials(others), "trust.chain-for-another"),
        (forged, "trust.station-forged"),
    ):
        assert code(lambda: unit.accept(proven, wrong, AFTER_PROOF, AFTER_CREDENTIALS)) == expected  # noqa: B023
    assert store.load() is None


# --- coming back ---


def test_a_unit_that_comes_back_shows_its_certificate_and_needs_no_map(
    tpm: Tpm, store: IdentityStore, station: Station
) -> None:
    provision(tpm, store, station)
    first = store.load()
    assert first is not None
    unit = agent_session(tpm, store, station, None)
    identity, proven = prove(unit, station)
    assert identity.certificate == hashlib.sha256(station.chain[0]).digest()
    assert station.opener.open(proven.message.nuc_hash, AFTER_CHALLENGE) == MAP.hash
    unit.accept(proven, station.credentials(station.given()), AFTER_PROOF, AFTER_CREDENTIALS)
    again = store.load()
    assert again is not None
    assert again.provisioned  # the station recorded it once: it stays a camera without this Done, too
    assert replace(again, path=first.path, secrets=first.secrets) == first
