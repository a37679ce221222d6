"""Bad input gets problem details with a stable type, the field and the limit, which quote nothing of the request."""

from __future__ import annotations

import asyncio
import io
import json
from typing import Any

import pytest

from station.web.http import bodies
from tests.harness.api_client import BULK, DEVICES, PROVISION, Api, problem
from virtual.timeouts import TIMEOUT_SECONDS

SECRET = "5ec4e7" * 10 + "5ec4"
TOKEN = {"ciphertext": "ab" * 32, "auth_tag": "cd" * 16, "nonce": "ef" * 12, "table_id": 0, "key_index": 0}
BUNDLE = {
    "camera_cert": "bm8gY2VydGlmaWNhdGU=",
    "image_hash": "ab" * 32,
    "timestamp": 1_795_500_000,
    "gps_hash": None,
    "bundle_signature": "bm8gc2lnbmF0dXJl",
}


FAIL = {"valid": False, "message": "FAIL"}


@pytest.mark.parametrize("path", ["/validate", "/validate-legacy", "/api/v1/validate/nuc"])
@pytest.mark.parametrize(
    ("field", "value"),
    [
        pytest.param("key_index", 1000, id="index_above_999"),
        pytest.param("key_index", -1, id="index_below_0"),
        pytest.param("key_index", "5", id="index_as_text"),
        pytest.param("key_index", 10**40, id="index_of_forty_digits"),
        pytest.param("table_id", 2500, id="table_above_2499"),
        pytest.param("table_id", -1, id="table_below_0"),
        pytest.param("table_id", None, id="table_missing_its_value"),
        pytest.param("nonce", "ef" * 11, id="nonce_too_short"),
        pytest.param("nonce", "ef" * 13, id="nonce_too_long"),
        pytest.param("auth_tag", "cd" * 15, id="tag_too_short"),
        pytest.param("auth_tag", "cd" * 17, id="tag_too_long"),
        pytest.param("ciphertext", "ab" * 31, id="ciphertext_too_short"),
        pytest.param("ciphertext", "ab" * 64, id="ciphertext_as_the_aggregators_mock_sends_it"),
        pytest.param("ciphertext", "ab" * 5000, id="ciphertext_enormous"),
        pytest.param("ciphertext", "zz" * 32, id="ciphertext_no_hex"),
        pytest.param("ciphertext", "ab" * 31 + "a\n", id="ciphertext_with_a_newline"),
    ],
)
async def test_a_token_that_has_not_the_form_is_a_fail_like_any_other(
    api: Api, path: str, field: str, value: object
) -> None:
    body = {"camera_token": {**TOKEN, field: value}, "manufacturer_authority_id": "X"}
    answer = await api.client.post(path, json=body)
    assert (answer.status, await answer.json()) == (200, FAIL)
    counted = await (await api.get("/metrics")).text()
    assert 'birthmark_validations_total{kind="token",reason="malformed"} 1.0' in counted


LEGACY = {"ciphertext": "ab" * 60, "table_references": [0, 1, 2], "key_indices": [0, 0, 0]}


@pytest.mark.parametrize(
    "change",
    [
        pytest.param({"ciphertext": "ab" * 59}, id="ciphertext_too_short"),
        pytest.param({"ciphertext": "ab" * 61}, id="ciphertext_too_long"),
        pytest.param({"ciphertext": "zz" * 60}, id="ciphertext_no_hex"),
        pytest.param({"ciphertext": "ff" * 80}, id="hex_of_no_base64"),
        pytest.param({"ciphertext": b"AAA=".hex() * 20}, id="hex_of_base64_of_too_little"),
        pytest.param({"table_references": [0, 1]}, id="two_tables"),
        pytest.param({"key_indices": [0, 1, 2, 3]}, id="four_indices"),
        pytest.param({"table_references": [0, 1, 2500]}, id="table_above_2499"),
        pytest.param({"key_indices": [0, 0, 1000]}, id="index_above_999"),
        pytest.param({"key_indices": None}, id="no_indices"),
    ],
)
async def test_a_legacy_token_that_has_not_the_form_is_a_fail_like_any_other(api: Api, change: dict[str, Any]) -> None:
    answer = await api.client.post("/validate-legacy", json={**LEGACY, **change})
    assert (answer.status, await answer.json()) == (200, FAIL)


@pytest.mark.parametrize("field", sorted(TOKEN))
async def test_a_token_without_a_field_is_a_fail_like_any_other(api: Api, field: str) -> None:
    token = {name: value for name, value in TOKEN.items() if name != field}
    answer = await api.client.post("/validate", json={"camera_token": token})
    assert (answer.status, await answer.json()) == (200, FAIL)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("image_hash", "ab" * 31),
        ("image_hash", "zz" * 32),
        ("gps_hash", "ab" * 33),
        ("timestamp", -1),
        ("timestamp", "now"),
        ("camera_cert", ""),
        ("camera_cert", "A" * 70_000),
        ("bundle_signature", "A" * 600),
    ],
)
async def test_a_bundle_that_has_not_the_form_is_a_fail_like_any_other(api: Api, field: str, value: object) -> None:
    answer = await api.client.post("/validate-cert", json={**BUNDLE, field: value})
    assert (answer.status, await answer.json()) == (200, FAIL)


@pytest.mark.parametrize(("length", "passes"), [(4096, True), (4097, False)])
async def test_the_authoritys_name_may_be_as_long_as_4096_characters(api: Api, length: int, passes: bool) -> None:
    body = {"camera_token": api.token(await api.provision("CAM-1")), "manufacturer_authority_id": "ß" * length}
    assert (await (await api.client.post("/validate", json=body)).json())["valid"] is passes


@pytest.mark.parametrize("cert", ["not base64 !", "bm8gY2VydGlmaWNhdGU=", "\u20ac"])
async def test_an_invalid_certificate_is_a_fail_like_any_other(api: Api, cert: str) -> None:
    answer = await api.client.post("/validate-cert", json={**BUNDLE, "camera_cert": cert})
    assert (answer.status, await answer.json()) == (200, FAIL)


@pytest.mark.parametrize(
    ("fields", "status", "code", "field"),
    [
        pytest.param({}, 400, "http.field-invalid", "device_serial", id="no_serial"),
        pytest.param({"device_serial": ""}, 400, "http.field-invalid", "device_serial", id="empty_serial"),
        pytest.param({"device_serial": "a" * 65}, 400, "http.field-invalid", "device_serial", id="serial_too_long"),
        pytest.param({"device_serial": "../etc"}, 400, "http.field-invalid", "device_serial", id="serial_with_a_path"),
        pytest.param({"device_serial": 5}, 400, "http.field-invalid", "device_serial", id="serial_a_number"),
        pytest.param(
            {"device_family": "a\nb"}, 400, "provisioning.family-invalid", "device_family", id="family_two_lines"
        ),
        pytest.param({"device_family": "a" * 65}, 400, "http.field-invalid", "device_family", id="family_too_long"),
        pytest.param({"nuc_hash": SECRET[:62]}, 400, "http.field-invalid", "nuc_hash", id="hash_too_short"),
        pytest.param({"nuc_hash": SECRET + "00"}, 400, "http.field-invalid", "nuc_hash", id="hash_too_long"),
        pytest.param({"nuc_hash": SECRET[:63] + "x"}, 400, "http.field-invalid", "nuc_hash", id="hash_no_hex"),
        pytest.param({"nuc_hash": "0" * 64}, 400, "http.field-invalid", "nuc_hash", id="hash_all_zeros"),
        pytest.param({"csr": "no request"}, 400, "provisioning.csr-malformed", "csr", id="csr_none"),
        pytest.param({"csr": "A" * 9000}, 400, "http.field-invalid", "csr", id="csr_too_long"),
        pytest.param(
            {"device_secret": SECRET}, 403, "provisioning.phase-two-refused", "device_secret", id="second_form"
        ),
    ],
)
async def test_a_provisioning_request_that_is_wrong_names_the_field_and_makes_nothing(
    api: Api, fields: dict[str, Any], status: int, code: str, field: str | None
) -> None:
    body = fields if fields == {} else {"device_serial": "CAM-1", **fields}
    answer = await api.post(PROVISION, body)
    told = await problem(answer, status, code)
    assert told.get("field") == field
    for value in (SECRET, *fields.values()):
        assert len(str(value)) < 8 or str(value) not in str(told)
    assert (await (await api.get(DEVICES)).json())["total"] == 0


async def test_a_known_serial_a_known_hash_and_a_known_key_are_conflicts(api: Api) -> None:
    first = await api.provision("CAM-1")
    told = await problem(await api.post(PROVISION, {"device_serial": "CAM-1"}), 409, "registry.serial-taken")
    assert told["field"] == "device_serial"
    again = {"device_serial": "CAM-2", "nuc_hash": first["nuc_hash"]}
    told = await problem(await api.post(PROVISION, again), 409, "registry.duplicate-nuc")
    assert told["field"] == "nuc_hash"
    assert "CAM-1" not in str(told)


@pytest.mark.parametrize("action", ["revoke", "reinstate"])
@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "reason"),
        ({"reason": ""}, "reason"),
        ({"reason": " \t"}, "reason"),
        ({"reason": "a" * 201}, "reason"),
        ({"reason": "gone", "force": True}, "force"),
    ],
)
async def test_a_change_without_a_good_reason_is_refused(
    api: Api, action: str, body: dict[str, object], field: str
) -> None:
    await api.provision("CAM-1")
    answer = await api.post(f"{DEVICES}/CAM-1/{action}", body)
    assert (await problem(answer, 400, "http.field-invalid"))["field"] == field


async def test_a_revocation_code_that_rfc_5280_has_not_is_refused(api: Api) -> None:
    await api.provision("CAM-1")
    answer = await api.post(f"{DEVICES}/CAM-1/revoke", {"reason": "gone", "code": "removeFromCRL"})
    told = await problem(answer, 400, "http.field-invalid")
    assert told["field"] == "code"
    assert "removeFromCRL" not in str(told)


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("limit=0", "limit"),
        ("limit=501", "limit"),
        ("limit=ten", "limit"),
        ("state=lost", "state"),
        ("state=null", "state"),
        ("cursor=-1", "cursor"),
        ("cursor=" + "9" * 19, "cursor"),
        ("issued_since=yesterday", "issued_since"),
        ("familiy=Pi", "familiy"),
        ("limit=1&limit=2", "limit"),
        ("search=" + "a" * 65, "search"),
    ],
)
async def test_a_query_that_is_wrong_names_the_parameter(api: Api, query: str, field: str) -> None:
    told = await problem(await api.get(f"{DEVICES}?{query}"), 400, "http.parameter-invalid")
    assert told["field"] == field
    assert told["limit"]


@pytest.mark.parametrize("path", ["/validate", "/validate-cert", PROVISION, BULK, f"{DEVICES}/CAM-1/revoke"])
@pytest.mark.parametrize(
    ("data", "kind", "status", "code"),
    [
        (b"{}", "text/plain", 415, "http.unsupported-media-type"),
        (b"{}", "application/x-www-form-urlencoded", 415, "http.unsupported-media-type"),
        (b"{}", "multipart/form-data", 415, "http.unsupported-media-type"),
        (b"", "application/json", 400, "http.malformed"),
        (b"{", "application/json", 400, "http.malformed"),
        (b"\xff\xfe", "application/json", 400, "http.malformed"),
        (b"[" * 60_000, "application/json", 400, None),
        (b'{"a":' * 10_000, "application/json", 400, None),
        (b"[1, 2]", "application/json", 400, "http.field-invalid"),
        (b" " * (5 << 20), "application/json", 413, "http.too-large"),
    ],
)
async def test_a_body_of_another_kind_is_refused(
    api: Api, path: str, data: bytes, kind: str, status: int, code: str | None
) -> None:
    answer = await api.client.post(path, data=io.BytesIO(data), headers={**api.bearer, "Content-Type": kind})
    body = await answer.json(content_type=None)
    if path.startswith("/validate") and code in ("http.field-invalid", None) and answer.status == 200:
        assert body == FAIL
        return
    assert answer.status == status
    assert body["code"] == code or (code is None and body["code"] in ("http.malformed", "http.field-invalid"))


async def test_a_body_that_trickles_is_not_waited_for(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bodies, "BODY_SECONDS", 0.2)
    for path in ("/validate", BULK):
        head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 100\r\n"
        reader, writer = await asyncio.open_connection("127.0.0.1", api.client.port)
        writer.write(f"{head}Authorization: {api.bearer['Authorization']}\r\n\r\n{{".encode())
        async with asyncio.timeout(TIMEOUT_SECONDS):
            answer = await reader.readuntil(b"\r\n\r\n")
        writer.close()
        assert b" 503 " in answer.splitlines()[0]


async def test_an_enormous_body_is_refused_with_the_limit_before_it_is_sent(api: Api) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", api.client.port)
    head = (
        "POST /validate HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 999999999\r\n"
    )
    writer.write(f"{head}\r\n".encode())
    async with asyncio.timeout(TIMEOUT_SECONDS):
        answer = await reader.readuntil(b"\r\n\r\n")
        body = await reader.readuntil(b"}")
    writer.close()
    assert b" 413 " in answer.splitlines()[0]
    assert json.loads(body)["limit"] == "65536 bytes are the most"
