"""Provisioning without a cable: the workflow, duplicates, NUC hashes, requests, bad input, many at once."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key
from cryptography.x509.oid import NameOID

from shared.errors import BirthmarkError, ErrorCode
from station.events import Bus
from station.provisioning.issuance import Issuance
from station.provisioning.offline import FIELD_OF, OfflineProvisioner, ProvisionedUnit, ProvisioningRequest
from station.registry import audit, queries, revocation
from station.registry.records import CertificateState, KeyHolder, Unit, UnitState
from station.registry.revocation import RevocationCode
from tests.harness import openssl
from tests.harness.bare_station import NOW, BareStation, open_bare_station
from tests.harness.slow_signer import SlowSigner

NUC = "b44323ecb073dd28f0589ed5fd5fe08ed88af22aaf80655b8a06e59b1a86e15b"


async def provision(bare_station: BareStation, serial: str = "CAM-1", **fields: str | None) -> ProvisionedUnit:
    return await bare_station.offline_provisioner.provision(ProvisioningRequest(device_serial=serial, **fields), "test")


async def code(bare_station: BareStation, serial: str = "CAM-1", **fields: str | None) -> ErrorCode:
    """Return the code with which a request is refused; check that the refusal wrote nothing."""
    before = await events(bare_station)
    with pytest.raises(BirthmarkError) as raised:
        await provision(bare_station, serial, **fields)
    assert await events(bare_station) == before
    return raised.value.code


async def events(bare_station: BareStation) -> list[str]:
    async with bare_station.database.read() as connection:
        return [row.event for row in await audit.read(connection)]


async def count(bare_station: BareStation) -> int:
    """Units and reservations."""
    async with bare_station.database.read() as connection:
        return await queries.count_all(connection)


async def registered(bare_station: BareStation, serial: str = "CAM-1") -> Unit:
    async with bare_station.database.read() as connection:
        return await queries.by_serial(connection, serial)


def with_signer(bare_station: BareStation) -> tuple[OfflineProvisioner, SlowSigner]:
    signer = SlowSigner(bare_station.authority.issuer)
    config, tables, database = bare_station.config, bare_station.tables, bare_station.database
    issuance = Issuance(config, tables, signer, database)
    return OfflineProvisioner(
        config, bare_station.secret, issuance, tables, database, Bus(), bare_station.clock
    ), signer


def csr(
    key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey,
    *names: tuple[x509.ObjectIdentifier, str],
) -> bytes:
    subject = x509.Name([x509.NameAttribute(oid, text) for oid, text in names])
    builder = x509.CertificateSigningRequestBuilder(subject)
    algorithm = None if isinstance(key, ed25519.Ed25519PrivateKey) else hashes.SHA256()
    return builder.sign(key, algorithm).public_bytes(Encoding.DER)


def in_base64(der: bytes) -> str:
    return base64.b64encode(der).decode()


async def test_the_workflow_gives_everything_that_birthmarks_camera_loads(tmp_path: Path) -> None:
    async with open_bare_station(tmp_path) as bare_station:
        provisioned = await provision(bare_station, device_family="Camera", nuc_hash=NUC.upper())
        content = msgspec.to_builtins(provisioned.provisioning())
        masters = {str(table): bare_station.tables.master_key(table).secret().hex() for table in provisioned.tables}
    required = {"device_serial", "device_family", "device_certificate", "certificate_chain", "device_private_key"}
    required |= {"device_public_key", "table_assignments", "nuc_hash", "master_keys"}
    assert required <= content.keys()
    assert (content["device_serial"], content["device_family"], content["nuc_hash"]) == ("CAM-1", "Camera", NUC)
    assert len(set(content["table_assignments"])) == 3
    assert content["master_keys"] == masters
    key = load_pem_private_key(content["device_private_key"].encode(), None)
    certificate = x509.load_pem_x509_certificate(content["device_certificate"].encode())
    assert certificate.public_key() == key.public_key()
    assert content["device_public_key"].encode() == key.public_key().public_bytes(
        Encoding.PEM, PublicFormat.SubjectPublicKeyInfo
    )
    chain = x509.load_pem_x509_certificates(content["certificate_chain"].encode())
    assert chain == [bare_station.authority.certificates.intermediate]


async def test_a_new_unit_is_provisioned_with_its_times_and_its_key_holder(tmp_path: Path) -> None:
    async with open_bare_station(tmp_path) as bare_station:
        provisioned = await provision(bare_station)
        unit = await registered(bare_station)
        assert (unit.state, unit.key_holder) == (UnitState.PROVISIONED, KeyHolder.STATION)
        assert (unit.issued_at, unit.provisioned_at) == (NOW, NOW)
        assert unit.duration_ms is not None
        assert await events(bare_station) == ["reserved", "issued", "provisioned"]
        assert unit.certificate is not None
        assert (unit.certificate.der, unit.certificate.state) == (provisioned.chain[0], CertificateState.ACTIVE)
        assert (unit.certificate.serial, unit.tables) == (provisioned.certificate_serial, provisioned.tables)


async def test_a_private_key_made_here_is_stored_nowhere(tmp_path: Path) -> None:
    async with open_bare_station(tmp_path) as bare_station:
        provisioned = await provision(bare_station, nuc_hash=NUC)
    assert provisioned.private_key is not None
    scalar = provisioned.private_key.private_numbers().private_value.to_bytes(32, "big")
    stored = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    assert provisioned.chain[0] in stored
    for secret in (scalar, bytes.fromhex(NUC), *(key.secret() for key in provisioned.master_keys.values())):
        assert secret not in stored
        assert secret.hex().encode() not in stored


async def test_neither_a_result_nor_a_request_shows_its_secrets(tmp_path: Path) -> None:
    async with open_bare_station(tmp_path) as bare_station:
        provisioned = await provision(bare_station, nuc_hash=NUC)
    told = repr(provisioned) + repr(ProvisioningRequest("CAM-1", None, NUC))
    assert NUC not in told
    assert all(key.secret().hex() not in told for key in provisioned.master_keys.values())


async def test_a_missing_nuc_hash_is_made_and_returned(tmp_path: Path) -> None:
    async with open_bare_station(tmp_path) as bare_station:
        first, second = await provision(bare_station, "CAM-1"), await provision(bare_station, "CAM-2", nuc_hash="")
    assert first.nuc_hash != second.nuc_hash
    assert first.provisioning().nuc_hash != second.provisioning().nuc_hash


@pytest.mark.parametrize("form", ["pem", "der in base64"])
async def test_a_unit_with_a_request_keeps_its_own_key(tmp_path: Path, form: str) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    der = csr(key)
    pem = x509.load_der_x509_csr(der).public_bytes(Encoding.PEM).decode()
    async with open_bare_station(tmp_path, station_made_keys=False) as bare_station:
        provisioned = await provision(bare_station, nuc_hash=NUC, csr=pem if form == "pem" else in_base64(der))
        certificate = x509.load_der_x509_certificate(provisioned.chain[0])
        assert certificate.public_key() == key.public_key()
        assert certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value == "CAM-1"
        assert provisioned.key_holder is KeyHolder.SOFTWARE
        assert not msgspec.to_builtins(provisioned.provisioning()).keys() & {
            "device_private_key",
            "master_keys",
            "nuc_hash",
        }
        assert openssl.verify(tmp_path, provisioned.chain, "-attime", str(NOW)).returncode == 0


async def test_a_unit_with_a_request_is_told_a_nuc_hash_that_was_made_for_it(tmp_path: Path) -> None:
    async with open_bare_station(tmp_path) as bare_station:
        provisioned = await provision(bare_station, csr=in_base64(csr(ec.generate_private_key(ec.SECP256R1()))))
    assert len(provisioned.provisioning().nuc_hash) == 64


@pytest.mark.parametrize(
    ("fields", "wanted"),
    [
        ({"device_serial": "CAM-1"}, "registry.serial-taken"),
        ({"device_serial": "CAM-2", "nuc_hash": NUC}, "registry.duplicate-nuc"),
    ],
)
async def test_duplicates_are_refused_and_leave_the_first_alone(
    tmp_path: Path, fields: dict[str, str], wanted: str
) -> None:
    async with open_bare_station(tmp_path) as bare_station:
        await provision(bare_station, nuc_hash=NUC)
        first = await registered(bare_station)
        assert await code(bare_station, fields["device_serial"], nuc_hash=fields.get("nuc_hash")) == wanted
        assert await registered(bare_station) == first


async def test_a_key_that_belongs_to_another_unit_is_refused(tmp_path: Path) -> None:
    request = in_base64(csr(ec.generate_private_key(ec.SECP256R1())))
    async with open_bare_station(tmp_path) as bare_station:
        await provision(bare_station, "CAM-1", csr=request)
        assert await code(bare_station, "CAM-2", csr=request) == "registry.device-key-taken"


async def test_a_refused_request_does_not_poison_its_serial(tmp_path: Path) -> None:
    async with open_bare_station(tmp_path) as bare_station:
        assert await code(bare_station, nuc_hash="not hexadecimal") == "provisioning.nuc-hash-invalid"
        assert (await provision(bare_station)).serial == "CAM-1"


async def test_a_released_serial_can_be_provisioned_anew(tmp_path: Path) -> None:
    async with open_bare_station(tmp_path) as bare_station:
        first = await provision(bare_station, nuc_hash=NUC)
        async with bare_station.database.write() as connection:
            await revocation.release(connection, "CAM-1", "sold", NOW)
        again = await provision(bare_station, nuc_hash=NUC)
    assert again.certificate_serial != first.certificate_serial


@pytest.mark.parametrize("serial", ["", "x" * 65, "a b", "a/b", "../x", "a\n", "a\0", "-a", "é", "<b>"])
async def test_an_invalid_serial_is_refused_and_its_field_named(tmp_path: Path, serial: str) -> None:
    async with open_bare_station(tmp_path) as bare_station:
        assert FIELD_OF[await code(bare_station, serial)] == "device_serial"


@pytest.mark.parametrize("nuc", ["00" * 32, "5d" * 31, "5d" * 33, "zz" * 32, "5d " * 21 + "5", "٥" * 64])
async def test_an_invalid_nuc_hash_is_refused_and_its_field_named(tmp_path: Path, nuc: str) -> None:
    async with open_bare_station(tmp_path) as bare_station:
        assert FIELD_OF[await code(bare_station, nuc_hash=nuc)] == "nuc_hash"


@pytest.mark.parametrize("family", ["x" * 65, "a\nb", " a", "a\u202eb"])
async def test_a_family_with_control_characters_is_refused_and_its_field_named(tmp_path: Path, family: str) -> None:
    async with open_bare_station(tmp_path) as bare_station:
        assert FIELD_OF[await code(bare_station, device_family=family)] == "device_family"


def broken(der: bytes) -> bytes:
    return der[:-1] + bytes([der[-1] ^ 1])


@pytest.mark.parametrize(
    ("request_text", "wanted"),
    [
        ("", "provisioning.csr-malformed"),
        ("garbage", "provisioning.csr-malformed"),
        ("-----BEGIN CERTIFICATE REQUEST-----\nMIIB\n-----END CERTIFICATE REQUEST-----", "provisioning.csr-malformed"),
        ("A" * 20_000, "provisioning.csr-malformed"),
        ("ü", "provisioning.csr-malformed"),
        (in_base64(broken(csr(ec.generate_private_key(ec.SECP256R1())))), "provisioning.csr-malformed"),
        (in_base64(csr(ec.generate_private_key(ec.SECP384R1()))), "provisioning.csr-key-unsupported"),
        (in_base64(csr(rsa.generate_private_key(65537, 2048))), "provisioning.csr-key-unsupported"),
        (in_base64(csr(ed25519.Ed25519PrivateKey.generate())), "provisioning.csr-key-unsupported"),
    ],
    ids=["empty", "garbage", "short pem", "too long", "not ascii", "bad signature", "P-384", "RSA", "Ed25519"],
)
async def test_an_unusable_csr_is_refused_and_its_field_named(
    tmp_path: Path, request_text: str, wanted: ErrorCode
) -> None:
    async with open_bare_station(tmp_path) as bare_station:
        assert await code(bare_station, csr=request_text) == wanted
        assert FIELD_OF[wanted] == "csr"


async def test_a_station_that_makes_no_keys_asks_for_a_request(tmp_path: Path) -> None:
    async with open_bare_station(tmp_path, station_made_keys=False) as bare_station:
        assert await code(bare_station) == "provisioning.station-keys-off"


async def test_a_request_in_the_public_authoritys_second_form_makes_no_unit(tmp_path: Path) -> None:
    asked = msgspec.json.decode(b'{"device_serial": "CAM-1", "device_secret": "x", "new": 1}', type=ProvisioningRequest)
    async with open_bare_station(tmp_path) as bare_station:
        with pytest.raises(BirthmarkError) as caught:
            await bare_station.offline_provisioner.provision(asked, "test")
        assert caught.value.code == "provisioning.phase-two-refused"
        async with bare_station.database.read() as connection:
            assert await queries.count_all(connection) == 0


async def test_a_unit_whose_file_cannot_be_kept_is_not_made(tmp_path: Path) -> None:
    def keep(_: ProvisionedUnit) -> None:
        raise BirthmarkError("provisioning.file-unusable", "disk full")

    async with open_bare_station(tmp_path) as bare_station:
        with pytest.raises(BirthmarkError) as caught:
            await bare_station.offline_provisioner.provision(ProvisioningRequest("CAM-1"), "test", keep)
        assert caught.value.code == "provisioning.file-unusable"
        assert await count(bare_station) == 0
        assert await events(bare_station) == ["reserved", "unreserved"]
        assert (await provision(bare_station)).serial == "CAM-1"


@pytest.mark.parametrize("ending", ["error", "cancelled"])
async def test_a_request_that_ends_at_the_signer_gives_its_place_up(tmp_path: Path, ending: str) -> None:
    async with open_bare_station(tmp_path) as bare_station:
        provisioner, signer = with_signer(bare_station)
        signer.pause()
        request = asyncio.create_task(provisioner.provision(ProvisioningRequest("CAM-1"), "test"))
        await signer.hold(request)
        assert await count(bare_station) == 1
        if ending == "error":
            signer.error = BirthmarkError("registry.unavailable", "the signer is away")
            signer.may_sign.set()
            with pytest.raises(BirthmarkError, match="the signer is away"):
                await request
        else:
            request.cancel()
            with pytest.raises(asyncio.CancelledError):
                await request
        assert await count(bare_station) == 0
        assert await events(bare_station) == ["reserved", "unreserved"]


@pytest.mark.parametrize("same", [False, True], ids=["of another key", "sent twice"])
async def test_a_request_whose_place_was_taken_while_the_signer_worked_gets_nothing(tmp_path: Path, same: bool) -> None:
    own = {"nuc_hash": NUC, "csr": in_base64(csr(ec.generate_private_key(ec.SECP256R1())))} if same else {}
    async with open_bare_station(tmp_path) as bare_station:
        provisioner, signer = with_signer(bare_station)
        signer.pause()
        request = asyncio.create_task(provisioner.provision(ProvisioningRequest("CAM-1", **own), "test"))
        await signer.hold(request)
        quicker = await provision(bare_station, **own)
        signer.may_sign.set()
        with pytest.raises(BirthmarkError) as caught:
            await request
        assert caught.value.code == "registry.reservation-lost"
        unit = await registered(bare_station)
    assert unit.certificate is not None
    assert unit.certificate.der == quicker.chain[0]


async def test_a_unit_that_is_revoked_while_the_signer_works_gets_nothing(tmp_path: Path) -> None:
    async with open_bare_station(tmp_path) as bare_station:
        provisioner, signer = with_signer(bare_station)
        signer.pause()
        request = asyncio.create_task(provisioner.provision(ProvisioningRequest("CAM-1"), "test"))
        await signer.hold(request)
        async with bare_station.database.write() as connection:
            await revocation.revoke(connection, "CAM-1", RevocationCode.HOLD, "stolen", NOW)
        signer.may_sign.set()
        with pytest.raises(BirthmarkError) as caught:
            await request
        assert caught.value.code == "registry.unit-revoked"
        unit = await registered(bare_station)
    assert (unit.state, unit.certificate) == (UnitState.REVOKED, None)


async def test_a_clock_that_was_set_back_makes_no_certificate_that_has_ended_already(tmp_path: Path) -> None:
    async with open_bare_station(tmp_path) as bare_station:
        bare_station.clock.now = 0.0
        certificate = x509.load_der_x509_certificate((await provision(bare_station)).chain[0])
    assert certificate.not_valid_before_utc.timestamp() <= NOW < certificate.not_valid_after_utc.timestamp()


async def test_of_many_requests_for_one_serial_at_once_one_succeeds(tmp_path: Path) -> None:
    async with open_bare_station(tmp_path) as bare_station:
        results = await asyncio.gather(*(provision(bare_station) for _ in range(8)), return_exceptions=True)
        assert sum(isinstance(result, ProvisionedUnit) for result in results) == 1
        failures = {result.code for result in results if isinstance(result, BirthmarkError)}
        assert failures == {"registry.serial-taken"}
        assert await count(bare_station) == 1


async def test_statistics_of_fifty_units_count_every_table_given(tmp_path: Path) -> None:
    async with open_bare_station(tmp_path) as bare_station:
        for number in range(50):
            await provision(bare_station, f"CAM-{number}")
        async with bare_station.database.read() as connection:
            usage = await queries.table_usage(connection)
            times = await queries.provisioning_times(connection)
    assert sum(usage.values()) == 150
    assert len(usage) == 10
    assert all(usage.values()), "of 150 random picks out of 10 tables one was never made"
    assert times is not None
    assert times.count == 50


# --- whom a request names ---

CN, SERIAL_NUMBER = NameOID.COMMON_NAME, NameOID.SERIAL_NUMBER


@pytest.mark.parametrize(
    "names",
    [
        (),
        ((CN, "CAM-1"),),
        ((CN, "cam-1"),),
        ((CN, "Birthmark Device CAM-1"),),
        ((CN, "CAM-1"), (SERIAL_NUMBER, "CAM-1")),
        ((NameOID.COUNTRY_NAME, "US"), (NameOID.ORGANIZATION_NAME, "Birthmark"), (CN, "Birthmark Device CAM-1")),
        ((NameOID.ORGANIZATIONAL_UNIT_NAME, "Raspberry Pi"),),
    ],
)
async def test_a_request_may_name_the_unit_in_birthmarks_forms_or_nobody(
    tmp_path: Path, names: tuple[tuple[x509.ObjectIdentifier, str], ...]
) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    async with open_bare_station(tmp_path) as bare_station:
        provisioned = await provision(bare_station, "CAM-1", csr=in_base64(csr(key, *names)))
    assert provisioned.public_key == key.public_key()


OTHERS = [
    ((CN, "CAM-2"),),
    ((CN, "Birthmark Device CAM-2"),),
    ((CN, "Birthmark Device"),),
    ((CN, "CAM-1"), (CN, "CAM-2")),
    ((CN, "CAM-1"), (SERIAL_NUMBER, "CAM-2")),
    ((SERIAL_NUMBER, "Birthmark Device CAM-1"),),
    ((CN, "CAM-1 "),),
    ((CN, "\N{CYRILLIC CAPITAL LETTER ES}AM-1"),),
]


@pytest.mark.attack("a request over HTTP names another unit than the one that it is sent for")
async def test_a_request_that_names_another_unit_is_refused(tmp_path: Path, got: Callable[[str], None]) -> None:
    async with open_bare_station(tmp_path) as bare_station:
        codes = {
            await code(bare_station, "CAM-1", csr=in_base64(csr(ec.generate_private_key(ec.SECP256R1()), *names)))
            for names in OTHERS
        }
        assert codes == {"provisioning.csr-subject-differs"}
        assert FIELD_OF["provisioning.csr-subject-differs"] == "csr"
        async with bare_station.database.read() as connection:
            assert await queries.count_all(connection) == 0
    got(f"nothing: {len(OTHERS)} of {len(OTHERS)} refused [provisioning.csr-subject-differs]")
