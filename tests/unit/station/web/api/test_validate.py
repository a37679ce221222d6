"""Validation over HTTP: PASS or FAIL, and a reason that only the metrics have."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from station.config import StationConfig, ValidationConfig
from tests.harness.api_client import DEVICES, Api, opened


async def test_every_fail_reads_the_same_and_only_the_counter_knows_why(api: Api) -> None:
    made, other = await api.provision("CAM-1"), await api.provision("CAM-2")
    await api.post(f"{DEVICES}/CAM-2/revoke", {"reason": "gone"})
    good = api.token(made)
    foreign = next(table for table in range(10) if table not in made["table_assignments"])
    unknown = {**made, "nuc_hash": "77" * 32}
    fails = {
        "not-authentic": {**good, "ciphertext": "00" + good["ciphertext"][2:]},
        "other-table": api.token(made, foreign),
        "revoked": api.token(other),
        "unknown-unit": api.token(unknown),
        "unknown-table": {**good, "table_id": 2400},
    }
    for token in fails.values():
        assert await api.validate(token) == {"valid": False, "message": "FAIL"}
    counted = await (await api.get("/metrics")).text()
    for reason in fails:
        assert f'birthmark_validations_total{{kind="token",reason="{reason}"}} 1.0' in counted
    assert "CAM-" not in counted


@pytest.mark.parametrize("path", ["/validate", "/validate-legacy", "/api/v1/validate/nuc"])
async def test_every_address_of_token_validation_takes_both_forms(api: Api, path: str) -> None:
    token = api.token(await api.provision("CAM-1"), index=999)
    assert await api.validate(token, path) == {"valid": True, "message": "PASS"}
    legacy = {
        "ciphertext": token["ciphertext"] + token["nonce"] + token["auth_tag"],
        "table_references": [(token["table_id"] + 1) % 10, token["table_id"], (token["table_id"] + 2) % 10],
        "key_indices": [1, 999, 0],
    }
    ignored = {"modification_level": 0, "parent_image_hash": None, "isp_validation": {"a": [1]}}
    answer = await api.client.post(path, json={**legacy, **ignored})
    assert (answer.status, await answer.json()) == (200, {"valid": True, "message": "PASS"})
    forged = {**legacy, "ciphertext": "ab" * 60, **ignored}
    answer = await api.client.post(path, json=forged)
    assert (answer.status, await answer.json()) == (200, {"valid": False, "message": "FAIL"})


@pytest.mark.parametrize("encoding", [Encoding.PEM, Encoding.DER])
async def test_a_bundle_that_a_camera_signed_passes_and_a_changed_one_fails(api: Api, encoding: Encoding) -> None:
    made = await api.provision("CAM-1")
    key = serialization.load_pem_private_key(made["device_private_key"].encode(), None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    certificate = x509.load_pem_x509_certificate(made["device_certificate"].encode())
    sent = base64.b64encode(certificate.public_bytes(encoding)).decode()
    text = f"{'ab' * 32}\n{sent}\n1795500000\n\n".encode()
    signature = base64.b64encode(key.sign(text, ec.ECDSA(hashes.SHA256()))).decode()
    body = {"camera_cert": sent, "image_hash": "AB" * 32, "timestamp": 1_795_500_000, "bundle_signature": signature}
    answer = await api.client.post("/validate-cert", json={**body, "gps_hash": None})
    assert await answer.json() == {"valid": True, "message": "PASS"}
    answer = await api.client.post("/validate-cert", json={**body, "timestamp": 1_795_500_001})
    assert await answer.json() == {"valid": False, "message": "FAIL"}


async def test_unknown_fields_of_a_validation_are_passed_over(api: Api) -> None:
    token = api.token(await api.provision("CAM-1"))
    body = {"camera_token": {**token, "version": 2}, "manufacturer_authority_id": "X", "new": {}}
    answer = await api.client.post("/validate", json=body)
    assert await answer.json() == {"valid": True, "message": "PASS"}


async def test_over_a_daily_limit_a_unit_fails_and_is_not_revoked(tmp_path: Path) -> None:
    async with opened(tmp_path, StationConfig(validation=ValidationConfig(daily_limit=2))) as api:
        token = api.token(await api.provision("CAM-1"))
        assert [(await api.validate(token))["valid"] for _ in range(4)] == [True, True, False, False]
        assert (await api.validate(token))["message"] == "FAIL"
        assert (await (await api.get(f"{DEVICES}/CAM-1")).json())["state"] == "provisioned"
        counted = await (await api.get("/metrics")).text()
        assert 'birthmark_validations_total{kind="token",reason="over-limit"} 3.0' in counted
