"""The example camera, a separate program, signs for a picture; its station validates both the token and the bundle."""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from msgspec import Meta

from shared.birthmark.nuc_token import NucToken
from station.validation.certificates import CameraBundle
from station.validation.verdict import Reason
from tests.harness.provisioned_camera import open_provisioned_camera
from tests.harness.recorded_station import RecordedStation, private
from virtual.timeouts import TIMEOUT_SECONDS

EXAMPLE = Path(__file__).parents[2] / "examples" / "camera.py"
Hash = Annotated[str, Meta(pattern="^[0-9a-f]{64}$")]


class Image(msgspec.Struct, forbid_unknown_fields=True):
    image_hash: Hash
    modification_level: Literal[0, 1]
    parent_image_hash: Hash | None


class Authority(msgspec.Struct, forbid_unknown_fields=True):
    authority_id: str
    validation_endpoint: Annotated[str, Meta(pattern="^https?://")]


class Submission(msgspec.Struct, forbid_unknown_fields=True):
    """The body that Birthmark's public aggregator accepts at /api/v1/submit."""

    submission_type: Literal["camera"]
    image_hashes: Annotated[list[Image], Meta(min_length=1, max_length=2)]
    camera_token: NucToken
    manufacturer_cert: Authority
    timestamp: Annotated[int, Meta(gt=0)]


@dataclasses.dataclass(frozen=True)
class CameraSetup:
    station_under_test: RecordedStation
    state_dir: Path
    raw: Path
    photo: Path

    def camera(self, *options: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, str(EXAMPLE), str(self.raw), "--state-dir", str(self.state_dir), *options]
        return subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_SECONDS, cwd=EXAMPLE.parents[1])

    def vouched(self, *options: str) -> tuple[Submission, CameraBundle]:
        ended = self.camera(*options)
        assert ended.returncode == 0, ended.stderr
        return read(json.loads(ended.stdout))


def read(vouched: dict[str, Any]) -> tuple[Submission, CameraBundle]:
    assert vouched.keys() == {"submission", "legacy_submissions", "certificate_bundle"}
    return msgspec.convert(vouched["submission"], Submission), msgspec.convert(
        vouched["certificate_bundle"], CameraBundle
    )


@pytest.fixture(scope="module")
def setup(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CameraSetup]:
    folder = tmp_path_factory.mktemp("setup")
    (folder / "raw.dng").write_bytes(b"what the sensor saw" * 100)
    (folder / "photo.jpg").write_bytes(b"what the photographer made of it" * 100)
    with open_provisioned_camera(folder) as (station_under_test, state_dir):
        yield CameraSetup(station_under_test, state_dir, folder / "raw.dng", folder / "photo.jpg")


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_the_station_validates_the_token_and_the_bundle(setup: CameraSetup) -> None:
    submission, bundle = setup.vouched()
    station = setup.station_under_test.station
    assert setup.station_under_test.run(station.tokens.validate(submission.camera_token)).reason is Reason.VALID
    assert setup.station_under_test.run(station.certificates.validate(bundle)).reason is Reason.VALID
    assert submission.manufacturer_cert.authority_id == station.config.authority.authority_id
    assert submission.manufacturer_cert.validation_endpoint == station.config.validation_endpoint
    assert abs(submission.timestamp - time.time()) < 3600
    assert [image.image_hash for image in submission.image_hashes] == [sha256(setup.raw)] == [bundle.image_hash]


def test_a_developed_picture_names_the_raw_one_as_its_parent_and_is_what_the_bundle_signs(setup: CameraSetup) -> None:
    submission, bundle = setup.vouched("--processed", str(setup.photo))
    raw, photo = submission.image_hashes
    assert (raw.image_hash, raw.modification_level, raw.parent_image_hash) == (sha256(setup.raw), 0, None)
    assert (photo.image_hash, photo.modification_level) == (sha256(setup.photo), 1)
    assert photo.parent_image_hash == raw.image_hash
    assert bundle.image_hash == photo.image_hash
    assert setup.station_under_test.run(setup.station_under_test.station.certificates.validate(bundle)).valid


def test_the_legacy_submissions_are_signed_and_hold_a_token_for_one_of_three_pairs(setup: CameraSetup) -> None:
    vouched = json.loads(setup.camera("--processed", str(setup.photo)).stdout)
    raw, photo = vouched["legacy_submissions"]
    assert (raw["image_hash"], raw["modification_level"]) == (sha256(setup.raw), 0)
    assert "parent_image_hash" not in raw
    assert (photo["image_hash"], photo["modification_level"]) == (sha256(setup.photo), 1)
    assert photo["parent_image_hash"] == raw["image_hash"]
    der = base64.b64decode(vouched["certificate_bundle"]["camera_cert"])
    key = x509.load_der_x509_certificate(der).public_key()
    assert isinstance(key, ec.EllipticCurvePublicKey)
    station = setup.station_under_test
    for body in (raw, photo):
        signature = base64.b64decode(body.pop("device_signature"))
        key.verify(signature, json.dumps(body, sort_keys=True).encode(), ec.ECDSA(hashes.SHA256()))
        packed = base64.b64decode(body["encrypted_nuc_token"])
        parts = packed[:32].hex(), packed[44:].hex(), packed[32:44].hex()
        pairs = list(zip(body["table_references"], body["key_indices"], strict=True))
        assert len(pairs) == 3
        verdicts = [station.run(station.station.tokens.validate(NucToken(*parts, *pair))).reason for pair in pairs]
        assert sorted(verdicts) == [Reason.NOT_AUTHENTIC, Reason.NOT_AUTHENTIC, Reason.VALID]


def test_a_bundle_changed_afterwards_fails(setup: CameraSetup) -> None:
    submission, bundle = setup.vouched()
    station = setup.station_under_test.station
    other_image = msgspec.structs.replace(bundle, image_hash="0" * 64)
    assert setup.station_under_test.run(station.certificates.validate(other_image)).reason is Reason.BAD_SIGNATURE
    digit = "1" if submission.camera_token.ciphertext[0] == "0" else "0"
    changed = digit + submission.camera_token.ciphertext[1:]
    token = msgspec.structs.replace(submission.camera_token, ciphertext=changed)
    assert setup.station_under_test.run(station.tokens.validate(token)).reason is Reason.NOT_AUTHENTIC


def test_the_result_goes_to_a_file_where_one_is_named(setup: CameraSetup, tmp_path: Path) -> None:
    ended = setup.camera("--output", str(tmp_path / "vouched.json"))
    assert (ended.returncode, ended.stdout) == (0, "")
    read(json.loads((tmp_path / "vouched.json").read_text()))


def test_an_unprovisioned_camera_and_a_missing_picture_have_clear_errors(setup: CameraSetup, tmp_path: Path) -> None:
    unprovisioned = setup.camera("--state-dir", str(private(tmp_path / "empty")))
    assert unprovisioned.returncode == 1
    assert "[identity.missing]" in unprovisioned.stderr
    missing = dataclasses.replace(setup, raw=tmp_path / "none.dng").camera()
    assert missing.returncode == 1
    assert "none.dng: No such file" in missing.stderr
    assert "Traceback" not in unprovisioned.stderr + missing.stderr
