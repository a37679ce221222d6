"""The provisioned camera with a simulated TPM: what it signs verifies, and its tokens open with the master keys."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from device_agent.camera import Camera
from shared import limits
from shared.birthmark.derivation import token_key
from shared.birthmark.nuc_token import NucToken, open_token
from shared.errors import BirthmarkError
from shared.types import KeyIndex, TableId
from tests.harness.certificates import SERIAL, chain_of_trust
from tests.harness.provisioned_unit import ENDPOINT, MAP, MASTER_KEYS, MODEL, UnitIdentity


@pytest.fixture(scope="module")
def state_dir(unit_identity: UnitIdentity, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("state")
    unit_identity.store(path)
    return path


@pytest.fixture(scope="module")
def camera(state_dir: Path) -> Iterator[Camera]:
    with Camera.open(state_dir, tcti_of(state_dir)) as camera:
        yield camera


def tcti_of(state_dir: Path) -> str:
    """The TPM, which is not the simulator in the state directory, must be named: a file's word is not enough for it."""
    return str(json.loads((state_dir / "identity" / "identity.json").read_text())["tpm"])


def code(action: Callable[[], object]) -> str:
    with pytest.raises(BirthmarkError) as caught:
        action()
    return caught.value.code


def verify(camera: Camera, signature: bytes, data: bytes) -> None:
    """Raises InvalidSignature."""
    key = camera.certificate.public_key()
    assert isinstance(key, ec.EllipticCurvePublicKey)
    key.verify(signature, data, ec.ECDSA(hashes.SHA256()))


def opened(token: NucToken) -> bytes | None:
    master = MASTER_KEYS[TableId(token.table_id)]
    return open_token(token_key(master, KeyIndex(token.key_index)), token)


def test_a_camera_has_its_units_identity(camera: Camera, unit_identity: UnitIdentity) -> None:
    assert (camera.serial, camera.model) == (SERIAL, MODEL)
    assert (camera.authority_id, camera.validation_endpoint) == ("MA", ENDPOINT)
    assert camera.table_ids == tuple(MASTER_KEYS)
    chain = unit_identity.chain
    assert camera.certificate_chain == (chain.device, chain.intermediate, chain.root)
    assert camera.certificate == chain.device


def test_a_cameras_signature_verifies_with_its_certificate(camera: Camera) -> None:
    verify(camera, camera.sign(b"a picture"), b"a picture")
    verify(camera, camera.sign_digest(hashlib.sha256(b"a picture").digest()), b"a picture")
    verify(camera, camera.private_key().sign(b"a picture", ec.ECDSA(hashes.SHA256())), b"a picture")


def test_a_bundle_is_signed_over_all_but_its_signature_with_sorted_keys(camera: Camera) -> None:
    signed = camera.sign_bundle({"b": 1, "a": [2], "device_signature": "an old one"})
    assert (signed["a"], signed["b"]) == ([2], 1)
    verify(camera, base64.b64decode(signed["device_signature"]), json.dumps({"a": [2], "b": 1}).encode())


@pytest.mark.parametrize(("gps_hash", "line"), [(None, ""), ("CD" * 32, "cd" * 32)])
def test_a_certificate_bundle_is_signed_line_by_line(camera: Camera, gps_hash: str | None, line: str) -> None:
    bundle = camera.certificate_bundle("AB" * 32, 1_795_000_000, gps_hash)
    assert base64.b64decode(bundle["camera_cert"]) == camera.certificate.public_bytes(Encoding.DER)
    assert (bundle["image_hash"], bundle["timestamp"], bundle["gps_hash"]) == ("AB" * 32, 1_795_000_000, gps_hash)
    text = f"{'ab' * 32}\n{bundle['camera_cert']}\n1795000000\n{line}\n"
    verify(camera, base64.b64decode(bundle["bundle_signature"]), text.encode())


def test_a_token_opens_with_the_master_key_it_names_and_holds_the_nuc_hash(camera: Camera) -> None:
    token = camera.token(3, 999)
    assert (token.table_id, token.key_index) == (3, 999)
    assert opened(token) == MAP.hash.secret()
    assert token.nonce != camera.token(3, 999).nonce


def test_chance_takes_only_its_own_tables_and_there_are_no_others(camera: Camera) -> None:
    for token in (camera.token() for _ in range(6)):
        assert token.table_id in MASTER_KEYS
        assert 0 <= token.key_index < limits.KEYS_PER_TABLE
        assert opened(token) == MAP.hash.secret()
    assert code(lambda: camera.token(1)) == "table.not-ours"
    assert code(lambda: camera.token(2500)) == "table.id-out-of-range"
    assert code(lambda: camera.token(3, 1000)) == "table.index-out-of-range"


def test_the_map_comes_back_as_it_was_captured(camera: Camera) -> None:
    assert camera.nuc_map() == MAP.data
    assert camera.nuc_hash() == MAP.hash


def test_two_threads_make_tokens_and_signatures_of_one_camera_at_once(camera: Camera) -> None:
    together = threading.Barrier(2)

    def photograph(name: str) -> list[tuple[NucToken, bytes, bytes, bytes]]:
        key = camera.private_key()
        together.wait()
        pictures = [f"{name} {number}".encode() for number in range(100)]
        return [
            (camera.token(), camera.sign(picture), key.sign(picture, ec.ECDSA(hashes.SHA256())), picture)
            for picture in pictures
        ]

    with ThreadPoolExecutor(2) as threads:
        taken = [photo for photos in threads.map(photograph, ("first", "second")) for photo in photos]
    assert {opened(token) for token, *_ in taken} == {MAP.hash.secret()}
    assert len({token.nonce for token, *_ in taken}) == 200
    for _, signature, of_the_key, picture in taken:
        verify(camera, signature, picture)
        verify(camera, of_the_key, picture)


def test_a_thread_that_outlives_the_camera_is_refused_at_once(state_dir: Path) -> None:
    with Camera.open(state_dir, tcti_of(state_dir)) as camera:
        key = camera.private_key()
    ways = (camera.token, camera.nuc_hash, camera.nuc_map, camera.private_key, lambda: camera.sign(b"a picture"))
    for way in (*ways, lambda: key.sign(b"a picture", ec.ECDSA(hashes.SHA256()))):
        assert code(way) == "tpm.closed"


def test_a_directory_without_an_identity_or_open_to_others_makes_no_camera(tmp_path: Path) -> None:
    def open_camera(path: Path) -> None:
        with Camera.open(path):
            raise AssertionError("it opened")

    assert code(lambda: open_camera(tmp_path / "none")) == "identity.missing"
    (tmp_path / "empty").mkdir(mode=0o700)
    assert code(lambda: open_camera(tmp_path / "empty")) == "identity.missing"
    (tmp_path / "empty").chmod(0o755)
    assert code(lambda: open_camera(tmp_path / "empty")) == "identity.state-dir-open"


def test_an_identity_of_another_tpm_makes_no_camera(tmp_path: Path, unit_identity: UnitIdentity) -> None:
    replace(unit_identity, chain=chain_of_trust()).store(tmp_path)

    def open_camera() -> None:
        with Camera.open(tmp_path, tcti_of(tmp_path)):
            raise AssertionError("it opened")

    assert code(open_camera) == "tpm.not-this-one"


def test_a_camera_encrypts_nothing_to_another_endorsement_key_than_the_verified_one(
    unit_identity: UnitIdentity, tmp_path: Path
) -> None:
    known = unit_identity.about.ek
    other = msgspec.structs.replace(known, name=known.name[:-4] + "0000")
    replace(unit_identity, about=msgspec.structs.replace(unit_identity.about, ek=other)).store(tmp_path / "state")
    with Camera.open(tmp_path / "state", tcti_of(tmp_path / "state")) as camera:
        for secret in (camera.token, camera.nuc_hash, camera.nuc_map):
            assert code(secret) == "tpm.another-ek"
        verify(camera, camera.sign(b"a picture"), b"a picture")


def test_a_tpm_that_only_the_identity_names_is_not_spoken_to(state_dir: Path) -> None:
    def open_camera() -> None:
        with Camera.open(state_dir):
            raise AssertionError("it opened")

    assert tcti_of(state_dir).startswith("swtpm:")
    assert code(open_camera) == "tpm.name-untyped"


def test_not_even_root_opens_another_users_camera(state_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def open_camera() -> None:
        with Camera.open(state_dir, tcti_of(state_dir)):
            raise AssertionError("it opened")

    monkeypatch.setattr(os, "geteuid", lambda: 0 if state_dir.stat().st_uid else 1)
    assert code(open_camera) == "identity.permission"
