"""A Pi with a TPM, provisioned on the cable, works with the rest of Birthmark, as OpenSSL does with what is served.

What the aggregator, the camera program and the public authority's callers send is in the other files test_drop_in_*."""

from __future__ import annotations

import base64
import json
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.harness.public_birthmark import request
from virtual.pi import VirtualPi, run_agent
from virtual.station import VirtualStation
from virtual.timeouts import TIMEOUT_SECONDS, WAIT_OPTIONS

PASS = (200, {"valid": True, "message": "PASS"})
FAIL = (200, {"valid": False, "message": "FAIL"})
IMAGE, GPS = "0123456789abcdef" * 4, "fedcba9876543210" * 4


class Caller:
    """Sends requests to a station as the aggregator's client does."""

    def __init__(self, address: str) -> None:
        self._address = address.rstrip("/")

    def post(self, path: str, body: object, token: str = "") -> tuple[int, Any]:
        answer = request("POST", self._address + path, body, token)
        return answer.status, answer.json()

    def get(self, path: str, token: str = "") -> bytes:
        answer = request("GET", self._address + path, token=token)
        assert answer.status == 200, answer.body
        return answer.body

    def validate(self, camera_token: object) -> tuple[int, Any]:
        return self.post("/validate", {"camera_token": camera_token, "manufacturer_authority_id": "CANON_001"})


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("workspace")


@pytest.fixture(scope="module")
def station(workspace: Path) -> Iterator[VirtualStation]:
    with VirtualStation(workspace / "station", f"{workspace}/pi-*/station") as station:
        station.init("--tables", "250")
        station.start()
        yield station


@pytest.fixture(scope="module")
def aggregator(station: VirtualStation) -> Caller:
    return Caller(station.address)


@pytest.fixture(scope="module")
def admin(station: VirtualStation) -> str:
    return station.make_token()


@pytest.fixture(scope="module")
def pi(workspace: Path, station: VirtualStation) -> VirtualPi:
    pi = VirtualPi(workspace / "pi-1", 1)
    pi.nuc_map.write_bytes(b"the map of sensor 1" * 99)
    with pi.cable:
        agent = pi.start("--once", *WAIT_OPTIONS)
        _, said = agent.communicate(timeout=TIMEOUT_SECONDS)
    assert agent.returncode == 0, said
    return pi


def token_of(pi: VirtualPi, *options: str) -> dict[str, Any]:
    return dict(json.loads(run_agent("token", "--state-dir", str(pi.state_dir), *options).stdout))


def test_a_token_of_a_provisioned_pi_passes(aggregator: Caller, pi: VirtualPi) -> None:
    token = token_of(pi)
    assert token.keys() == {"ciphertext", "auth_tag", "nonce", "table_id", "key_index"}
    assert aggregator.validate(token) == PASS
    for index in ("0", "999"):
        assert aggregator.validate(token_of(pi, "--index", index)) == PASS


def test_a_token_fails_for_a_changed_byte_another_table_and_another_index(aggregator: Caller, pi: VirtualPi) -> None:
    token = token_of(pi)
    for field in ("ciphertext", "auth_tag", "nonce"):
        changed = f"{int(token[field][:2], 16) ^ 1:02x}" + token[field][2:]
        assert aggregator.validate({**token, field: changed}) == FAIL
    assert aggregator.validate({**token, "table_id": (token["table_id"] + 1) % 250}) == FAIL
    assert aggregator.validate({**token, "key_index": (token["key_index"] + 1) % 1000}) == FAIL
    assert aggregator.validate(token) == PASS


def test_a_token_fails_while_its_unit_is_revoked(aggregator: Caller, pi: VirtualPi, admin: str) -> None:
    token = token_of(pi)
    path = f"/api/v1/devices/{pi.serial}"
    assert aggregator.post(f"{path}/revoke", {"reason": "lost"}, admin)[1]["state"] == "revoked"
    assert aggregator.validate(token) == FAIL
    assert aggregator.post(f"{path}/reinstate", {"reason": "found"}, admin)[1]["state"] == "provisioned"
    assert aggregator.validate(token) == PASS


def test_a_token_of_a_unit_that_another_station_made_fails(aggregator: Caller, pi: VirtualPi, tmp_path: Path) -> None:
    with VirtualStation(tmp_path / "other", str(tmp_path / "none")) as other:
        other.init("--tables", "250")
        other.start()
        assert Caller(other.address).validate(token_of(pi)) == FAIL


def test_a_pis_bundle_is_signed_with_a_certificate_that_passes(
    aggregator: Caller, station: VirtualStation, pi: VirtualPi, admin: str
) -> None:
    der = aggregator.get(f"/api/v1/devices/{pi.serial}/certificate?format=der", admin)
    sent, at = base64.b64encode(der).decode(), int(time.time())
    text = pi.directory / "signed"
    text.write_bytes(f"{IMAGE}\n{sent}\n{at}\n\n".encode())
    signature = run_agent("sign", "--state-dir", str(pi.state_dir), str(text)).stdout.strip()
    body = {"camera_cert": sent, "image_hash": IMAGE, "timestamp": at, "gps_hash": None, "bundle_signature": signature}
    assert aggregator.post("/validate-cert", body) == PASS
    assert aggregator.post("/validate-cert", {**body, "gps_hash": GPS}) == FAIL


def test_openssl_accepts_a_chain_and_the_list_as_fetched(
    aggregator: Caller, pi: VirtualPi, admin: str, tmp_path: Path
) -> None:
    chain, root, crl = (tmp_path / name for name in ("chain.pem", "root.der", "crl.pem"))
    chain.write_bytes(aggregator.get(f"/api/v1/devices/{pi.serial}/certificate", admin))
    root.write_bytes(aggregator.get("/ca?format=der"))
    crl.write_bytes(aggregator.get("/crl?format=pem"))
    trusted = tmp_path / "root.pem"
    openssl("x509", "-inform", "DER", "-in", str(root), "-out", str(trusted))
    both = tmp_path / "ca.pem"
    both.write_bytes(aggregator.get("/ca"))
    assert "verify OK" in openssl("crl", "-in", str(crl), "-noout", "-CAfile", str(both))
    verify = ("verify", "-x509_strict", "-CAfile", str(trusted), "-untrusted", str(chain))
    assert "OK" in openssl(*verify, str(chain))
    checked = (*verify, "-crl_check", "-CRLfile", str(crl), str(chain))
    assert "OK" in openssl(*checked)
    path = f"/api/v1/devices/{pi.serial}"
    aggregator.post(f"{path}/revoke", {"reason": "lost"}, admin)
    crl.write_bytes(aggregator.get("/crl?format=pem"))
    assert "certificate revoked" in openssl(*checked, code=2)
    aggregator.post(f"{path}/reinstate", {"reason": "found"}, admin)


def openssl(*arguments: str, code: int = 0) -> str:
    done = subprocess.run(["openssl", *arguments], capture_output=True, text=True, timeout=TIMEOUT_SECONDS, check=False)
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout + done.stderr


def test_validations_are_not_logged(station: VirtualStation, aggregator: Caller, pi: VirtualPi) -> None:
    before = station.log.stat().st_size
    token = token_of(pi)
    assert aggregator.validate(token) == PASS
    assert aggregator.validate({**token, "nonce": "00" * 12}) == FAIL
    assert station.log.read_text()[before:] == ""
