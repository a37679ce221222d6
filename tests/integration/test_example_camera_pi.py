"""The launcher runs a camera program of Birthmark's interface on a TPM; an aggregator and the station take its words.

The camera program here is `tests/harness/public_camera`, which is written from that interface.
"""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from shared.birthmark.nuc_token import NucToken
from station.validation.verdict import Reason
from tests.harness.aggregator import aggregator
from tests.harness.provisioned_camera import open_provisioned_camera
from tests.harness.recorded_station import RecordedStation
from virtual.timeouts import TIMEOUT_SECONDS

ROOT = Path(__file__).parents[2]
PICTURES = 10


@pytest.fixture(scope="module")
def provisioned(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[RecordedStation, Path]]:
    with open_provisioned_camera(tmp_path_factory.mktemp("setup")) as camera:
        yield camera


PUBLIC_CAMERA = ROOT / "tests" / "harness" / "public_camera"


def run_launcher(state_dir: Path, *theirs: str, program: Path = PUBLIC_CAMERA) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}:{program}"}
    command = [sys.executable, str(ROOT / "examples" / "camera_pi.py"), *theirs, "--state-dir", str(state_dir)]
    return subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_SECONDS, env=environment)


def the_true_token(station: RecordedStation, body: dict[str, Any]) -> Reason:
    """The station's verdict on a legacy token, for the one of its three pairs with which it opens."""
    packed = base64.b64decode(body["encrypted_nuc_token"])
    sealed, nonce, tag = packed[:32].hex(), packed[32:44].hex(), packed[44:].hex()
    verdicts = [
        station.run(station.station.tokens.validate(NucToken(sealed, tag, nonce, table, index))).reason
        for table, index in zip(body["table_references"], body["key_indices"], strict=True)
    ]
    [verdict] = [verdict for verdict in verdicts if verdict is not Reason.NOT_AUTHENTIC]
    return verdict


def test_the_camera_program_captures_signs_in_two_threads_and_submits(
    provisioned: tuple[RecordedStation, Path],
) -> None:
    station, state_dir = provisioned
    with aggregator() as server:
        ended = run_launcher(state_dir, "timelapse", "--submission-server", server.url, "--count", str(PICTURES))
        assert ended.returncode == 0, ended.stderr
    bundles = [body for path, body in server.received if path.endswith("submit-legacy")]
    certified = [body for path, body in server.received if path.endswith("submit-cert")]
    assert len(bundles) == len(certified) == PICTURES == len(server.recorded)
    key = x509.load_der_x509_certificate(base64.b64decode(certified[0]["camera_cert"])).public_key()
    assert isinstance(key, ec.EllipticCurvePublicKey)
    for body in bundles:
        assert the_true_token(station, body) is Reason.VALID
        signed = json.dumps({name: body[name] for name in body if name != "device_signature"}, sort_keys=True)
        key.verify(base64.b64decode(body["device_signature"]), signed.encode(), ec.ECDSA(hashes.SHA256()))
    for body in certified:
        text = f"{body['image_hash']}{body['timestamp']}".encode()
        key.verify(base64.b64decode(body["bundle_signature"]), text, ec.ECDSA(hashes.SHA256()))


def test_the_camera_programs_words_about_the_device_hold_no_secret(provisioned: tuple[RecordedStation, Path]) -> None:
    _, state_dir = provisioned
    ended = run_launcher(state_dir, "info", "--submission-server", "http://127.0.0.1:9")
    assert ended.returncode == 0, ended.stderr
    about = json.loads((state_dir / "identity" / "identity.json").read_text())
    assert ended.stdout.strip() == f"{about['serial']} {about['model']} {about['table_ids']} in the TPM"


def test_a_camera_program_that_is_not_there_is_a_clear_error(provisioned: tuple[RecordedStation, Path]) -> None:
    ended = run_launcher(provisioned[1], "info", program=ROOT / "nowhere")
    assert ended.returncode == 1
    assert ended.stderr.startswith("error: No module named 'camera_pi'")


def test_an_unprovisioned_camera_has_a_clear_error(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir(mode=0o700)
    ended = run_launcher(tmp_path / "empty", "info", "--submission-server", "http://127.0.0.1:9")
    assert ended.returncode == 1
    assert "[identity.missing]" in ended.stderr
