"""Provisioning over HTTP: what a unit gets, and that a bad unit does not affect the others."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from station.config import ProvisioningConfig, StationConfig
from tests.harness.api_client import BULK, DEVICES, PROVISION, Api, opened, problem

SECRET = "5ec4e7" * 10 + "5ec4"


def request_for(key: ec.EllipticCurvePrivateKey) -> str:
    csr = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([])).sign(key, hashes.SHA256())
    return csr.public_bytes(Encoding.PEM).decode()


async def test_a_unit_without_a_request_gets_all_that_birthmarks_camera_loads(api: Api) -> None:
    answer = await api.post(PROVISION, {"device_serial": "CAM-1", "device_family": "Test Pi"})
    assert answer.status == 201
    assert answer.headers["Location"] == "/api/v1/devices/CAM-1"
    made = await answer.json()
    certificate = x509.load_pem_x509_certificate(made["device_certificate"].encode())
    key = serialization.load_pem_private_key(made["device_private_key"].encode(), None)
    assert key.public_key() == certificate.public_key()
    assert len(set(made["table_assignments"])) == 3
    assert set(made["master_keys"]) == {str(table) for table in made["table_assignments"]}
    assert len(bytes.fromhex(made["nuc_hash"])) == 32
    assert (made["device_family"], made["key_holder"]) == ("Test Pi", "station")
    unit = await (await api.get(f"{DEVICES}/CAM-1")).json()
    assert (unit["key_holder"], unit["port"]) == ("station", "HTTP, for everything")


async def test_a_unit_with_a_csr_keeps_its_key_and_gets_no_secret(api: Api) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    made = await api.provision("CAM-1", csr=request_for(key), nuc_hash="ab" * 32)
    certificate = x509.load_pem_x509_certificate(made["device_certificate"].encode())
    assert certificate.public_key() == key.public_key()
    assert made["key_holder"] == "software"
    assert not {"device_private_key", "master_keys", "nuc_hash"} & made.keys()


async def test_a_setting_keeps_the_station_from_making_keys(tmp_path: Path) -> None:
    config = StationConfig(provisioning=ProvisioningConfig(station_made_keys=False))
    async with opened(tmp_path, config) as api:
        told = await problem(
            await api.post(PROVISION, {"device_serial": "CAM-1"}), 403, "provisioning.station-keys-off"
        )
        assert told["field"] == "csr"
        await api.provision("CAM-1", csr=request_for(ec.generate_private_key(ec.SECP256R1())))


async def test_a_serial_with_an_underscore_gets_a_certificate(api: Api) -> None:
    made = await api.provision("CAM_1")
    subject = x509.load_pem_x509_certificate(made["device_certificate"].encode()).subject
    assert [name.value for name in subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME)] == ["CAM_1"]


async def test_a_bug_with_one_unit_of_many_is_its_line_and_no_more(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    offline_provisioner = api.testbed.station.offline_provisioner
    provision = offline_provisioner.provision

    async def failing(wanted: Any, origin: str) -> Any:
        if wanted.device_serial == "CAM-1":
            raise ValueError("inside")
        return await provision(wanted, origin)

    monkeypatch.setattr(offline_provisioner, "provision", failing)
    answer = await api.post(BULK, {"devices": [{"device_serial": f"CAM-{n}"} for n in range(3)]})
    text = await answer.text()
    assert [json.loads(line)["status"] for line in text.splitlines()] == [201, 500, 201]
    assert "inside" not in text


async def test_one_wrong_unit_of_many_leaves_the_others_alone(api: Api) -> None:
    wanted: list[object] = [{"device_serial": f"CAM-{n}"} for n in range(4)]
    wanted[1:1] = [
        {"device_serial": "CAM-0"},
        {"device_serial": "a b"},
        5,
        {"device_serial": "CAM-9", "device_secret": SECRET},
    ]
    answer = await api.post(BULK, {"devices": wanted})
    assert answer.content_type == "application/x-ndjson"
    text = await answer.text()
    results = [json.loads(line) for line in text.splitlines()]
    assert [result["index"] for result in results] == list(range(8))
    assert [result["status"] for result in results] == [201, 409, 400, 400, 403, 201, 201, 201]
    assert results[4]["problem"]["field"] == "device_secret"
    assert SECRET not in text
    assert (await (await api.get(DEVICES)).json())["total"] == 4


async def test_a_bulk_request_has_a_largest_number_of_units(api: Api) -> None:
    for count in (0, 1001):
        answer = await api.post(BULK, {"devices": [{"device_serial": "CAM"}] * count})
        assert (await problem(answer, 400, "http.field-invalid"))["field"] == "devices"


async def test_what_the_public_authoritys_callers_send_more_is_ignored(api: Api) -> None:
    made = await api.provision("CAM-1", device_secret=None, firmware="1.0", new={"field": [1]})
    assert made["device_serial"] == "CAM-1"


async def test_the_second_form_is_refused_with_what_to_do_instead(api: Api) -> None:
    body = {"device_serial": "IPHONE-1", "device_family": "iOS", "device_secret": "ab" * 32}
    for path in (f"{PROVISION}-phase2", PROVISION):
        told = await problem(await api.post(path, body), 403, "provisioning.phase-two-refused")
        assert "certificate request" in told["advice"]
    assert (await (await api.get(DEVICES)).json())["total"] == 0
