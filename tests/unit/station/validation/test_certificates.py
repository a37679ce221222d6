"""`/validate-cert`: certificates as PEM and DER, chains, validity, revocation, and the exact text that is signed."""

from __future__ import annotations

import base64
import datetime as dt
import hashlib
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from shared.types import board_serial
from station.authority.issuer import CertificateRequest
from station.authority.profiles import DeviceSubject
from station.provisioning.offline import ProvisionedUnit, ProvisioningRequest
from station.registry import revocation, units
from station.registry.revocation import RevocationCode
from station.validation.certificates import CameraBundle
from station.validation.verdict import Reason
from tests.harness import issuing
from tests.harness.applicants import FIRST
from tests.harness.bare_station import NOW, BareStation, open_bare_station

HASH = hashlib.sha256(b"an image").hexdigest()
GPS = hashlib.sha256(b"a place").hexdigest()


async def provision(bare_station: BareStation, serial: str = "CAM-1") -> ProvisionedUnit:
    return await bare_station.offline_provisioner.provision(ProvisioningRequest(serial), "test")


def as_pem(der: bytes) -> str:
    return base64.b64encode(x509.load_der_x509_certificate(der).public_bytes(Encoding.PEM)).decode()


def as_der(der: bytes) -> str:
    return base64.b64encode(der).decode()


def bundle(key: ec.EllipticCurvePrivateKey, sent: str, image_hash: str = HASH, gps: str | None = None) -> CameraBundle:
    """Sign a bundle as a camera does, without the product's code: four lines, each ended by a newline."""
    text = image_hash.lower() + "\n" + sent + "\n" + str(NOW) + "\n" + (gps or "").lower() + "\n"
    signature = base64.b64encode(key.sign(text.encode(), ec.ECDSA(hashes.SHA256()))).decode()
    return CameraBundle(sent, image_hash, NOW, signature, gps)


def signed(provisioned: ProvisionedUnit) -> CameraBundle:
    assert provisioned.private_key is not None
    return bundle(provisioned.private_key, as_pem(provisioned.chain[0]))


async def reason(bare_station: BareStation, made: CameraBundle) -> Reason:
    return (await bare_station.certificates.validate(made)).reason


@pytest.mark.parametrize("sent", [as_pem, as_der])
@pytest.mark.parametrize("gps", [None, GPS, GPS.upper()])
@pytest.mark.parametrize("image_hash", [HASH, HASH.upper()])
async def test_a_bundle_passes_with_pem_and_der_with_and_without_gps_in_any_case(
    tmp_path: Path, sent: Callable[[bytes], str], gps: str | None, image_hash: str
) -> None:
    async with open_bare_station(tmp_path) as bare_station:
        provisioned = await provision(bare_station)
        assert provisioned.private_key is not None
        made = bundle(provisioned.private_key, sent(provisioned.chain[0]), image_hash, gps)
        assert await reason(bare_station, made) is Reason.VALID


@pytest.mark.parametrize(
    "change",
    [
        {"image_hash": "0" * 64},
        {"timestamp": NOW + 1},
        {"gps_hash": GPS},
        {"bundle_signature": base64.b64encode(b"\x30\x06\x02\x01\x01\x02\x01\x01").decode()},
        {"bundle_signature": "not base64"},
        {"bundle_signature": ""},
    ],
)
async def test_a_changed_bundle_fails(tmp_path: Path, change: dict[str, object]) -> None:
    async with open_bare_station(tmp_path) as bare_station:
        made = msgspec.structs.replace(signed(await provision(bare_station)), **change)
        assert await reason(bare_station, made) is Reason.BAD_SIGNATURE


def legacy_bundle(provisioned: ProvisionedUnit, **changes: object) -> CameraBundle:
    """Sign as a camera of the first generation: image hash and timestamp, and nothing between or after."""
    assert provisioned.private_key is not None
    signature = provisioned.private_key.sign(f"{HASH}{NOW}".encode(), ec.ECDSA(hashes.SHA256()))
    made = CameraBundle(as_der(provisioned.chain[0]), HASH, NOW, base64.b64encode(signature).decode())
    return msgspec.structs.replace(made, **changes)


@pytest.mark.parametrize("change", [{}, {"image_hash": HASH.upper()}])
async def test_a_legacy_signature_passes_for_a_bundle_without_gps(tmp_path: Path, change: dict[str, object]) -> None:
    async with open_bare_station(tmp_path) as bare_station:
        assert await reason(bare_station, legacy_bundle(await provision(bare_station), **change)) is Reason.VALID


@pytest.mark.parametrize(
    "change",
    [{"gps_hash": GPS}, {"gps_hash": "0" * 64}, {"timestamp": NOW + 1}, {"timestamp": NOW * 10}, {"image_hash": GPS}],
)
async def test_a_legacy_signature_fails_for_whatever_it_does_not_cover(
    tmp_path: Path, change: dict[str, object]
) -> None:
    async with open_bare_station(tmp_path) as bare_station:
        made = legacy_bundle(await provision(bare_station), **change)
        assert await reason(bare_station, made) is Reason.BAD_SIGNATURE


async def test_the_certificate_in_another_form_than_was_signed_fails(tmp_path: Path) -> None:
    async with open_bare_station(tmp_path) as bare_station:
        provisioned = await provision(bare_station)
        made = msgspec.structs.replace(signed(provisioned), camera_cert=as_der(provisioned.chain[0]))
        assert await reason(bare_station, made) is Reason.BAD_SIGNATURE


async def test_another_units_signature_fails(tmp_path: Path) -> None:
    async with open_bare_station(tmp_path) as bare_station:
        one, other = await provision(bare_station, "CAM-1"), await provision(bare_station, "CAM-2")
        assert other.private_key is not None
        made = bundle(other.private_key, as_pem(one.chain[0]))
        assert await reason(bare_station, made) is Reason.BAD_SIGNATURE


async def test_revocation_counts_at_once_and_reinstatement_too(tmp_path: Path) -> None:
    async with open_bare_station(tmp_path) as bare_station:
        made = signed(await provision(bare_station))
        async with bare_station.database.write() as connection:
            await revocation.revoke(connection, "CAM-1", RevocationCode.HOLD, "lost", NOW)
        assert await reason(bare_station, made) is Reason.REVOKED
        async with bare_station.database.write() as connection:
            await revocation.reinstate(connection, "CAM-1", "found", NOW)
        assert await reason(bare_station, made) is Reason.VALID


async def test_a_released_units_certificate_fails_and_its_new_one_passes(tmp_path: Path) -> None:
    async with open_bare_station(tmp_path) as bare_station:
        old = signed(await provision(bare_station))
        async with bare_station.database.write() as connection:
            await revocation.release(connection, "CAM-1", "sold", NOW)
        new = signed(await provision(bare_station))
        assert await reason(bare_station, old) is Reason.REVOKED
        assert await reason(bare_station, new) is Reason.VALID


@pytest.mark.parametrize("days", [-1, 731])
async def test_a_certificate_outside_its_validity_fails(tmp_path: Path, days: int) -> None:
    async with open_bare_station(tmp_path) as bare_station:
        made = signed(await provision(bare_station))
        bare_station.clock.now += days * 86_400
        assert await reason(bare_station, made) is Reason.OUT_OF_DATE


async def test_a_certificate_of_another_authority_fails(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    async with open_bare_station(tmp_path / "a") as bare_station, open_bare_station(tmp_path / "b") as other:
        await provision(bare_station)
        assert await reason(bare_station, signed(await provision(other))) is Reason.UNTRUSTED


async def test_a_certificate_signed_with_the_authoritys_key_but_unknown_to_its_registry_fails(tmp_path: Path) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    async with open_bare_station(tmp_path) as bare_station:
        subject = DeviceSubject(board_serial("CAM-9"), key.public_key(), b"")
        at = dt.datetime.fromtimestamp(NOW, dt.UTC)
        forged = await bare_station.authority.issuer.issue(CertificateRequest(subject, 4711, at))
        made = bundle(key, as_der(forged.public_bytes(Encoding.DER)))
        assert await reason(bare_station, made) is Reason.UNKNOWN_UNIT


async def test_the_stations_own_certificate_is_no_cameras(tmp_path: Path) -> None:
    async with open_bare_station(tmp_path) as bare_station:
        made = signed(await provision(bare_station))
        station = as_der(bare_station.authority.identity.certificate.public_bytes(Encoding.DER))
        assert await reason(bare_station, msgspec.structs.replace(made, camera_cert=station)) is Reason.UNKNOWN_UNIT


@pytest.mark.parametrize(
    "sent",
    [
        "",
        "%%%",
        "AAAA",
        base64.b64encode(b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n").decode(),
        base64.b64encode(b"\x30\x82\xff\xff" + b"A" * 100).decode(),
        "é",
    ],
)
async def test_an_invalid_certificate_fails_like_everything_else(tmp_path: Path, sent: str) -> None:
    async with open_bare_station(tmp_path) as bare_station:
        made = msgspec.structs.replace(signed(await provision(bare_station)), camera_cert=sent)
        verdict = await bare_station.certificates.validate(made)
    assert (verdict.reason, verdict.message) == (Reason.MALFORMED, "FAIL")


async def test_every_cut_and_every_flipped_byte_of_a_certificate_fails_without_an_error(tmp_path: Path) -> None:
    async with open_bare_station(tmp_path) as bare_station:
        provisioned = await provision(bare_station)
        made, der = signed(provisioned), provisioned.chain[0]
        damaged = [der[:length] for length in range(0, len(der), 37)]
        damaged += [der[:i] + bytes([der[i] ^ 0xFF]) + der[i + 1 :] for i in range(len(der))]
        for one in damaged:
            assert not (
                await bare_station.certificates.validate(msgspec.structs.replace(made, camera_cert=as_der(one)))
            ).valid


async def test_a_renewed_units_old_certificate_has_ended_and_its_new_one_passes(tmp_path: Path) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    async with open_bare_station(tmp_path) as bare_station:
        first = await issuing.issue(bare_station.issuance, FIRST, NOW, key.public_key())
        async with bare_station.database.write() as connection:
            await units.confirm(connection, first.unit.id, NOW)
        old = bundle(key, as_der(first.certificate.der))
        assert await reason(bare_station, old) is Reason.VALID
        bare_station.clock.now = first.certificate.not_after + 1
        second = await issuing.issue(bare_station.issuance, FIRST, bare_station.clock.now, key.public_key())
        new = bundle(key, as_der(second.certificate.der))
        assert await reason(bare_station, new) is Reason.VALID, "the unit may have it, though its receipt is missing"
        async with bare_station.database.write() as connection:
            await units.confirm(connection, first.unit.id, int(bare_station.clock.now))
        assert await reason(bare_station, new) is Reason.VALID
        assert await reason(bare_station, old) is Reason.OUT_OF_DATE


async def test_a_unit_whose_receipt_is_missing_does_not_pass(tmp_path: Path) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    async with open_bare_station(tmp_path) as bare_station:
        granted = await issuing.issue(bare_station.issuance, FIRST, NOW, key.public_key())
        assert await reason(bare_station, bundle(key, as_der(granted.certificate.der))) is Reason.NOT_PROVISIONED
