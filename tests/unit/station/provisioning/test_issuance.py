"""The one way to a certificate: recognise, reserve, sign, record, with an issuer that fails, is slow or overtaken."""

from __future__ import annotations

import asyncio
import datetime as dt
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

import msgspec
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from shared import limits
from shared.errors import BirthmarkError
from shared.types import MasterKey, NucHash, TableId, board_serial
from station.authority import profiles
from station.authority.birthmark_extensions import BirthmarkFacts
from station.authority.certificates import AuthorityCertificates
from station.authority.issuer import CertificateRequest
from station.authority.key_file import KeyFileIssuer
from station.authority.profiles import DeviceSubject
from station.config import AuthorityConfig, StationConfig
from station.provisioning.issuance import Granted, Issuance, Subject
from station.registry import audit, certificates, queries, revocation, units
from station.registry.database import Connection, Database
from station.registry.location import registry_url
from station.registry.records import Applicant, Certificate, CertificateState, Reservation, Unit, UnitState
from station.registry.reservations import LIFETIME_SECONDS
from station.registry.revocation import RevocationCode
from station.secrets.blind_index import key_fingerprint
from station.secrets.key_tables import KeyTables
from tests.harness import issuing
from tests.harness.applicants import FIRST, SECOND
from tests.harness.bare_station import NOW, BareStation, open_bare_station
from tests.harness.certificates import chain_of_trust
from tests.harness.slow_signer import SlowSigner

DAY = 86_400
AT = dt.datetime.fromtimestamp(NOW, dt.UTC)
PATIENCE_SECONDS = 120
"""A session that another holds up never ends: then the test does."""
KEY, OTHER_KEY = (ec.generate_private_key(ec.SECP256R1()).public_key() for _ in range(2))
UNIT = replace(FIRST, device_fingerprint=key_fingerprint(KEY))


@dataclass
class Station:
    """One of the stations on the registry."""

    name: str
    database: Database
    signer: SlowSigner
    issuance: Issuance

    async def issue(
        self, applicant: Applicant = UNIT, at: float = NOW, key: ec.EllipticCurvePublicKey = KEY
    ) -> Granted:
        async with asyncio.timeout(PATIENCE_SECONDS):
            return await issuing.issue(self.issuance, applicant, at, key)

    async def begin(
        self, applicant: Applicant = UNIT, at: float = NOW, key: ec.EllipticCurvePublicKey = KEY
    ) -> asyncio.Task[Granted]:
        """A session, up to where its signer is asked; `signer.may_sign` lets it go on."""
        self.signer.pause()
        session = asyncio.create_task(self.issue(applicant, at, key))
        await self.signer.hold(session)
        return session

    async def confirm(self, granted: Granted, at: int = NOW) -> Unit:
        async with self.database.write() as connection:
            return await units.confirm(connection, granted.unit.id, at)


@dataclass
class Registry:
    """A registry, with two stations on it."""

    bare_station: BareStation
    one: Station
    other: Station

    async def unit(self, serial: str = UNIT.serial) -> Unit:
        async with self.one.database.read() as connection:
            return await queries.by_serial(connection, serial)

    async def certificates(self, unit: Unit) -> list[Certificate]:
        async with self.one.database.read() as connection:
            return await certificates.of_unit(connection, unit.id)

    async def count(self) -> int:
        """Units and reservations."""
        async with self.one.database.read() as connection:
            return await queries.count_all(connection)

    async def log(self) -> list[audit.Row]:
        async with self.one.database.read() as connection:
            return await audit.read(connection)

    async def events(self) -> list[str]:
        return [row.event for row in await self.log()]


@pytest.fixture
async def registry(tmp_path: Path) -> AsyncIterator[Registry]:
    async with open_bare_station(tmp_path) as bare_station:
        databases = [Database(registry_url(tmp_path), name) for name in ("bench 3", "bench 4")]
        one, other = (
            Station(name, database, signer, Issuance(bare_station.config, bare_station.tables, signer, database))
            for name, database in zip(("bench 3", "bench 4"), databases, strict=True)
            for signer in (SlowSigner(bare_station.authority.issuer),)
        )
        try:
            yield Registry(bare_station, one, other)
        finally:
            for database in databases:
                await database.close()


def stranger(number: int) -> Applicant:
    """One of many applicants with nothing in common."""
    return replace(
        UNIT,
        serial=board_serial(f"CAM-{number}"),
        ek_fingerprint=b"tpm %d" % number,
        device_fingerprint=b"key %d" % number,
        nuc_blind_index=b"nuc %d" % number,
    )


async def refused(session: asyncio.Future[Granted]) -> BirthmarkError:
    with pytest.raises(BirthmarkError) as caught:
        await session
    return caught.value


def reason_of(row: audit.Row) -> object:
    return msgspec.json.decode(row.detail).get("reason")


# --- the straight way ---


async def test_a_new_unit_is_reserved_signed_and_recorded(registry: Registry) -> None:
    granted = await registry.one.issue()
    [request] = registry.one.signer.requests
    certificate = x509.load_der_x509_certificate(granted.certificate.der)
    assert not granted.resumed
    assert (certificate.serial_number, certificate.public_key()) == (request.serial, KEY)
    assert (granted.certificate.serial, granted.certificate.state) == (f"{request.serial:x}", CertificateState.ISSUED)
    issuer = registry.bare_station.authority.certificates.intermediate
    assert granted.certificate.issuer == key_fingerprint(issuer.public_key())
    assert granted.certificate.not_after == certificate.not_valid_after_utc.timestamp()
    assert len(set(granted.unit.tables)) == limits.TABLES_PER_UNIT
    assert (granted.unit.state, granted.unit.issued_at) == (UnitState.ISSUED, NOW)
    assert await registry.unit() == granted.unit
    assert [(row.event, row.station) for row in await registry.log()] == [
        ("reserved", "bench 3"),
        ("issued", "bench 3"),
    ]


async def test_a_unit_that_comes_back_gets_what_it_has_and_nothing_is_signed(registry: Registry) -> None:
    first = await registry.one.issue()
    again = await registry.other.issue()
    assert again.resumed
    assert (again.unit, again.certificate) == (first.unit, first.certificate)
    assert registry.other.signer.requests == []
    assert [(row.event, row.station) for row in await registry.log()][2:] == [("resumed", "bench 4")]


async def test_a_refused_applicant_leaves_nothing_written(registry: Registry) -> None:
    await registry.one.issue()
    before = await registry.log()
    impostor = replace(SECOND, serial=UNIT.serial)
    with pytest.raises(BirthmarkError) as caught:
        await registry.other.issue(impostor)
    assert (caught.value.code, caught.value.detail) == ("registry.serial-taken", UNIT.serial)
    assert registry.other.signer.requests == []
    assert await registry.log() == before


async def test_an_issuer_that_numbers_certificates_by_itself_is_recorded_with_its_number(registry: Registry) -> None:
    authority = registry.bare_station.authority
    subject = DeviceSubject(UNIT.serial, KEY, b"")
    registry.one.signer.answer = await authority.issuer.issue(CertificateRequest(subject, 4711, AT))
    granted = await registry.one.issue()
    assert registry.one.signer.requests[0].serial != 4711
    assert granted.certificate.serial == f"{4711:x}"


async def test_a_certificate_of_no_issuer_of_ours_is_not_recorded(registry: Registry) -> None:
    registry.one.signer.answer = chain_of_trust().device
    with pytest.raises(BirthmarkError) as caught:
        await registry.one.issue()
    assert caught.value.code == "authority.issuer-unknown"
    assert await registry.certificates(await registry.unit()) == []
    assert await registry.events() == ["reserved"]


# --- a session that ends in between ---


@pytest.mark.parametrize("ending", ["error", "cancelled"])
async def test_a_session_that_ends_at_the_signer_leaves_its_reservation_to_the_next(
    registry: Registry, ending: str
) -> None:
    signer = registry.one.signer
    session = await registry.one.begin()
    if ending == "error":
        signer.error = BirthmarkError("registry.unavailable", "the signer is away")
        signer.may_sign.set()
        assert (await refused(session)).detail == "the signer is away"
    else:
        session.cancel()
        with pytest.raises(asyncio.CancelledError):
            await session
    reserved = await registry.unit()
    assert (reserved.state, reserved.certificate, reserved.issued_at) == (UnitState.RESERVED, None, None)
    assert await registry.certificates(reserved) == []
    granted = await registry.other.issue(at=NOW + 60)
    assert registry.other.signer.requests[0].serial == signer.requests[0].serial
    assert granted.certificate.serial == f"{signer.requests[0].serial:x}"
    assert (granted.unit.id, granted.unit.tables, granted.resumed) == (reserved.id, reserved.tables, False)
    assert await registry.events() == ["reserved", "issued"]


async def test_an_abandoned_reservation_expires_and_the_log_tells_it(registry: Registry) -> None:
    registry.one.signer.error = BirthmarkError("registry.unavailable")
    with pytest.raises(BirthmarkError):
        await registry.one.issue()
    impostor = replace(SECOND, serial=UNIT.serial)
    with pytest.raises(BirthmarkError, match=r"registry\.serial-taken"):
        await registry.other.issue(impostor, NOW + LIFETIME_SECONDS - 1)
    granted = await registry.other.issue(impostor, NOW + LIFETIME_SECONDS)
    assert granted.unit.serial == UNIT.serial
    rows = await registry.log()
    assert [row.event for row in rows] == ["reserved", "unreserved", "reserved", "issued"]
    assert (rows[1].station, reason_of(rows[1])) == ("bench 4", "expired")
    assert await registry.count() == 1


async def test_an_expired_reservation_goes_with_the_next_one_whoevers_it_is(registry: Registry) -> None:
    registry.one.signer.error = BirthmarkError("registry.unavailable")
    with pytest.raises(BirthmarkError):
        await registry.one.issue()
    await registry.other.issue(SECOND, NOW + LIFETIME_SECONDS - 1)
    assert await registry.count() == 2
    await registry.other.issue(stranger(3), NOW + LIFETIME_SECONDS)
    assert await registry.count() == 2
    with pytest.raises(BirthmarkError, match=r"registry\.unknown-unit"):
        await registry.unit()


# --- a slow signer ---


async def test_no_transaction_is_held_while_the_signer_works(registry: Registry) -> None:
    session = await registry.one.begin()
    same_station = Issuance(
        registry.bare_station.config,
        registry.bare_station.tables,
        registry.bare_station.authority.issuer,
        registry.one.database,
    )
    async with asyncio.timeout(PATIENCE_SECONDS):
        second = await issuing.issue(same_station, SECOND, NOW)
    assert (await registry.one.confirm(second)).state is UnitState.PROVISIONED
    third = await registry.other.issue(stranger(3))
    assert (await registry.other.confirm(third)).state is UnitState.PROVISIONED
    assert (await registry.unit()).state is UnitState.RESERVED
    registry.one.signer.may_sign.set()
    granted = await session
    assert granted.unit.id < second.unit.id < third.unit.id
    assert (await registry.unit()).certificate == granted.certificate


@pytest.mark.parametrize("other_first", [False, True])
async def test_of_two_sessions_with_one_reservation_one_records_and_both_hand_out_the_same(
    registry: Registry, other_first: bool
) -> None:
    sessions = [await registry.one.begin(), await registry.other.begin()]
    stations = [registry.one, registry.other]
    if other_first:
        sessions.reverse()
        stations.reverse()
    for station, session in zip(stations, sessions, strict=True):
        station.signer.may_sign.set()
        await session
    granted = [session.result() for session in sessions]
    signed = [station.signer.signed[0] for station in stations]
    assert signed[0] != signed[1]
    assert [one.certificate.der for one in granted] == [signed[0], signed[0]]
    assert granted[0].unit == granted[1].unit
    assert [certificate.der for certificate in await registry.certificates(granted[0].unit)] == [signed[0]]
    assert [(row.event, row.station) for row in await registry.log()] == [
        ("reserved", "bench 3"),
        ("issued", stations[0].name),
    ]


@pytest.mark.parametrize("field", ["device_fingerprint", "nuc_blind_index"])
async def test_a_reservation_for_another_key_or_sensor_replaces_the_old_one_and_the_slow_signer_comes_too_late(
    registry: Registry, field: str
) -> None:
    session = await registry.one.begin()
    old = await registry.unit()
    changed = replace(UNIT, **{field: key_fingerprint(OTHER_KEY)})  # type: ignore[arg-type]
    granted = await registry.other.issue(changed, NOW + 1, OTHER_KEY)
    registry.one.signer.may_sign.set()
    error = await refused(session)
    assert error.code == "registry.reservation-lost"
    assert registry.one.signer.signed != []
    assert registry.one.signer.requests[0].serial != registry.other.signer.requests[0].serial
    assert granted.unit.id != old.id
    assert x509.load_der_x509_certificate(granted.certificate.der).public_key() == OTHER_KEY
    assert await registry.unit() == granted.unit
    assert await registry.certificates(granted.unit) == [granted.certificate]
    rows = await registry.log()
    assert [row.event for row in rows] == ["reserved", "unreserved", "reserved", "issued"]
    assert reason_of(rows[1]) == "replaced"


async def _revoke(connection: Connection) -> None:
    await revocation.revoke(connection, UNIT.serial, RevocationCode.HOLD, "stolen", NOW)


async def _release(connection: Connection) -> None:
    await revocation.release(connection, UNIT.serial, "scrapped", NOW)


@pytest.mark.parametrize(
    ("change", "code", "event"),
    [(_revoke, "registry.unit-revoked", "revoked"), (_release, "registry.released-meanwhile", "released")],
    ids=["revoked", "released"],
)
@pytest.mark.parametrize("renewal", [False, True])
async def test_a_unit_that_is_revoked_or_released_while_the_signer_works_gets_nothing(
    registry: Registry, change: Callable[[Connection], Awaitable[None]], code: str, event: str, renewal: bool
) -> None:
    at = NOW
    if renewal:
        await registry.one.confirm(await registry.one.issue())
        at = NOW + 731 * DAY
    before = await registry.events()
    session = await registry.one.begin(at=at)
    async with registry.other.database.write() as connection:
        await change(connection)
    registry.one.signer.may_sign.set()
    assert (await refused(session)).code == code
    unrecorded = registry.one.signer.signed[-1]
    held = await registry.certificates(await registry.unit())
    assert [certificate.state for certificate in held] == [CertificateState.REVOKED] * renewal
    assert unrecorded not in [certificate.der for certificate in held]
    assert await registry.events() == [*before, "reserved", event]


async def test_a_unit_that_was_on_hold_while_the_signer_worked_begins_anew_when_it_is_reinstated(
    registry: Registry,
) -> None:
    session = await registry.one.begin()
    async with registry.other.database.write() as connection:
        await _revoke(connection)
    registry.one.signer.may_sign.set()
    await refused(session)
    async with registry.other.database.write() as connection:
        reinstated = await revocation.reinstate(connection, UNIT.serial, "found", NOW)
    assert reinstated.state is UnitState.RESERVED
    granted = await registry.other.issue(at=NOW + 1)
    assert (granted.unit.id, granted.unit.state) == (reinstated.id, UnitState.ISSUED)
    assert registry.other.signer.requests[0].serial != registry.one.signer.requests[0].serial


# --- an expired certificate ---


async def test_a_unit_with_an_expired_certificate_gets_a_new_one_for_the_same_key_and_tables(
    registry: Registry,
) -> None:
    first = await registry.one.issue()
    await registry.one.confirm(first, NOW + 5)
    end = first.certificate.not_after
    holder = replace(UNIT, certificate_sha256=first.certificate.sha256)
    assert (await registry.one.issue(holder, end - 1)).resumed
    renewed = await registry.other.issue(holder, end)
    assert not renewed.resumed
    assert renewed.certificate.der != first.certificate.der
    assert (renewed.unit.id, renewed.unit.tables) == (first.unit.id, first.unit.tables)
    assert (renewed.unit.state, renewed.unit.issued_at) == (UnitState.PROVISIONED, NOW)
    certificate = x509.load_der_x509_certificate(renewed.certificate.der)
    assert certificate.public_key() == KEY
    assert certificate.not_valid_after_utc.timestamp() > end
    states = [CertificateState.ACTIVE, CertificateState.ISSUED]
    assert [held.state for held in await registry.certificates(renewed.unit)] == states, "not yet confirmed"

    lost = await registry.one.issue(holder, end + 1)  # the unit lost it on the way
    assert (lost.resumed, lost.certificate) == (True, renewed.certificate)
    unit = await registry.other.confirm(renewed, end + 2)
    old, new = await registry.certificates(unit)
    assert (old.state, old.superseded_at) == (CertificateState.SUPERSEDED, end + 2)
    assert (new.state, new.activated_at) == (CertificateState.ACTIVE, end + 2)
    assert unit.certificate == new
    assert (unit.state, unit.provisioned_at) == (UnitState.PROVISIONED, NOW + 5)
    assert (await registry.one.issue(replace(holder, certificate_sha256=new.sha256), end + 3)).certificate == new
    assert await registry.events() == [
        "reserved", "issued", "provisioned", "resumed", "reserved", "issued", "resumed", "renewed", "resumed"
    ]  # fmt: skip


async def test_two_stations_that_find_one_expired_certificate_give_one_new_one(registry: Registry) -> None:
    first = await registry.one.issue()
    await registry.one.confirm(first)
    at = NOW + 731 * DAY
    granted = await asyncio.gather(*(station.issue(at=at) for station in (registry.one, registry.other) * 4))
    assert len({one.certificate.der for one in granted}) == 1
    assert len(await registry.certificates(first.unit)) == 2
    assert (await registry.events())[3:5] == ["reserved", "issued"]
    assert set((await registry.events())[5:]) <= {"resumed"}


async def test_an_expired_reservation_of_a_known_unit_goes_and_the_unit_stays(registry: Registry) -> None:
    first = await registry.one.issue()
    await registry.one.confirm(first)
    at = NOW + 731 * DAY
    registry.one.signer.error = BirthmarkError("registry.unavailable")
    with pytest.raises(BirthmarkError):
        await registry.one.issue(at=at)
    await registry.other.issue(SECOND, at + LIFETIME_SECONDS)
    unit = await registry.unit()
    assert (unit.state, unit.certificate and unit.certificate.der) == (UnitState.PROVISIONED, first.certificate.der)
    assert (await registry.events())[3:6] == ["reserved", "unreserved", "reserved"]
    renewed = await registry.other.issue(at=at + LIFETIME_SECONDS + 1)
    assert (renewed.unit.id, renewed.resumed) == (first.unit.id, False)


# --- many at once ---


@pytest.mark.parametrize(
    ("shared", "code", "detail"),
    [
        ("serial", "registry.serial-taken", UNIT.serial),
        ("ek_fingerprint", "registry.ek-taken", "it belongs to "),
        ("device_fingerprint", "registry.device-key-taken", "it belongs to "),
        ("nuc_blind_index", "registry.duplicate-nuc", "it belongs to "),
    ],
)
async def test_of_forty_applicants_for_one_place_one_gets_it_and_the_others_are_told_by_name(
    registry: Registry, shared: str, code: str, detail: str
) -> None:
    common = {shared: getattr(UNIT, shared)}
    applicants = [replace(stranger(number), **common) for number in range(40)]
    stations = (registry.one, registry.other) * 20
    sessions = [station.issue(applicant) for station, applicant in zip(stations, applicants, strict=True)]
    results = await asyncio.gather(*sessions, return_exceptions=True)
    [granted] = [result for result in results if isinstance(result, Granted)]
    refusals = [result for result in results if isinstance(result, BirthmarkError)]
    assert [error.code for error in refusals] == [code] * 39
    assert {error.detail for error in refusals} == {detail if shared == "serial" else detail + granted.unit.serial}
    assert await registry.count() == 1
    assert await registry.events() == ["reserved", "issued"]


async def test_one_unit_in_many_sessions_at_once_is_one_unit_with_one_certificate(registry: Registry) -> None:
    granted = await asyncio.gather(*(station.issue() for station in (registry.one, registry.other) * 10))
    assert len({one.certificate.der for one in granted}) == 1
    assert len({(one.unit.id, one.unit.tables) for one in granted}) == 1
    assert await registry.count() == 1
    assert (await registry.events())[:2] == ["reserved", "issued"]
    assert set((await registry.events())[2:]) <= {"resumed"}


# --- more than one intermediate ---


async def test_a_unit_that_an_earlier_intermediate_issued_keeps_its_chain(registry: Registry) -> None:
    first = await registry.one.issue()
    bare_station = registry.bare_station
    root_key = load_pem_private_key(bare_station.root_key.pem, bare_station.root_key.passphrase.encode())
    assert isinstance(root_key, ec.EllipticCurvePrivateKey)
    key = ec.generate_private_key(ec.SECP256R1())
    earlier = bare_station.authority.certificates
    intermediate = profiles.intermediate("Birthmark", key.public_key(), AT, earlier.root).sign(
        root_key, hashes.SHA256()
    )
    renewed = AuthorityCertificates(earlier.root, intermediate, (earlier.intermediate,))
    registry.other.signer.issuer = KeyFileIssuer(bare_station.config.authority, renewed, key, AT)
    again, second = await registry.other.issue(), await registry.other.issue(SECOND)
    assert again.certificate == first.certificate
    for granted, issuer in ((again, earlier.intermediate), (second, intermediate)):
        chain = [
            x509.load_der_x509_certificate(der)
            for der in registry.other.issuance.issuer.chain_of(granted.certificate.der)
        ]
        assert chain[1:] == [issuer, earlier.root]
        for below, above in pairwise(chain):
            below.verify_directly_issued_by(above)
        assert granted.certificate.issuer == key_fingerprint(issuer.public_key())


# --- what a certificate says ---

NUC = NucHash(bytes(range(32)))
TABLES = (TableId(2), TableId(5), TableId(9))
ALL_TABLES = KeyTables({TableId(number): MasterKey(bytes([number + 1]) * 32) for number in range(10)})


async def asked(registry: Registry, *, extensions: bool = True, verified: bool = False) -> DeviceSubject:
    """The subject that an issuer is asked to certify."""
    config = StationConfig(
        authority=AuthorityConfig(
            authority_id="MAKER_7", public_url="https://ma.example/", birthmark_extensions=extensions
        )
    )
    signer = SlowSigner(registry.bare_station.authority.issuer)
    issuance = Issuance(config, ALL_TABLES, signer, registry.one.database)
    applicant = replace(UNIT, serial=board_serial("CAM-1"), family="Test Camera")
    subject = Subject(KEY, NUC, b"h" * 32, verified)
    await issuance.sign(applicant, subject, Reservation(1, 1, 4711, TABLES), AT)
    [request] = signer.requests
    assert (request.serial, request.at) == (4711, AT)
    return request.subject


async def asked_facts(registry: Registry) -> BirthmarkFacts:
    found = (await asked(registry)).facts
    assert found is not None
    return found


async def test_the_subject_is_what_it_was_given(registry: Registry) -> None:
    made = await asked(registry, extensions=False)
    assert (made.serial, made.key, made.hardware_serial, made.facts, made.verified) == (
        "CAM-1",
        KEY,
        b"h" * 32,
        None,
        False,
    )
    assert (await asked(registry, verified=True)).verified


async def test_the_facts_name_the_authority_and_where_it_validates_certificates(registry: Registry) -> None:
    found = await asked_facts(registry)
    assert (found.authority_id, found.endpoint, found.family) == (
        "MAKER_7",
        "https://ma.example/validate-cert",
        "Test Camera",
    )


async def test_the_nuc_hash_is_encrypted_under_the_master_key_of_the_table_that_is_named(registry: Registry) -> None:
    found = await asked_facts(registry)
    ciphertext, nonce = found.encrypted_nuc[:-12], found.encrypted_nuc[-12:]
    assert AESGCM(ALL_TABLES.master_key(found.table).secret()).decrypt(nonce, ciphertext, None) == NUC.secret()


async def test_every_table_of_the_unit_gets_its_turn_and_no_other(registry: Registry) -> None:
    found = [await asked_facts(registry) for _ in range(60)]
    assert {one.table for one in found} == set(TABLES), "of 60 random picks out of 3 tables one was never made"
    assert len({one.index for one in found}) > 1
    assert all(0 <= one.index < limits.KEYS_PER_TABLE for one in found)
    assert len({one.encrypted_nuc for one in found}) == 60
