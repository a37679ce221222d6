"""What the endpoints answer when all is well: units, revocation, certificates, statistics, metrics, description."""

from __future__ import annotations

import asyncio
import base64
import gc
import itertools
import json
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from station.config import EnrollmentConfig, StationConfig
from station.events import PortChanged, PortState
from station.registry.schema import audit
from station.secrets.blind_index import BlindIndex
from station.web import app_keys
from station.web.http.problems import STATUS
from station.web.ops import background, metrics_page
from station.web.routes import ENDPOINTS
from tests.harness.api_client import BULK, DEVICES, PROVISION, Api, opened, problem

ALERTS = Path(__file__).parents[5] / "prometheus" / "alerts.yml"


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[Api]:
    async with opened(tmp_path) as made:
        yield made


def request_for(key: ec.EllipticCurvePrivateKey) -> str:
    csr = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([])).sign(key, hashes.SHA256())
    return csr.public_bytes(Encoding.PEM).decode()


# --- provisioning ---


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


async def test_a_unit_with_a_request_keeps_its_key_and_is_told_no_secret(api: Api) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    made = await api.provision("CAM-1", csr=request_for(key), nuc_hash="ab" * 32)
    certificate = x509.load_pem_x509_certificate(made["device_certificate"].encode())
    assert certificate.public_key() == key.public_key()
    assert made["key_holder"] == "software"
    assert not {"device_private_key", "master_keys", "nuc_hash"} & made.keys()


async def test_a_setting_keeps_the_station_from_making_keys(tmp_path: Path) -> None:
    config = StationConfig(enrollment=EnrollmentConfig(station_made_keys=False))
    async with opened(tmp_path, config) as api:
        told = await problem(await api.post(PROVISION, {"device_serial": "CAM-1"}), 403, "enrollment.station-keys-off")
        assert told["field"] == "csr"
        await api.provision("CAM-1", csr=request_for(ec.generate_private_key(ec.SECP256R1())))


async def test_a_serial_with_an_underscore_gets_a_certificate(api: Api) -> None:
    made = await api.provision("CAM_1")
    subject = x509.load_pem_x509_certificate(made["device_certificate"].encode()).subject
    assert [name.value for name in subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME)] == ["CAM_1"]


async def test_a_bug_with_one_unit_of_many_is_its_line_and_no_more(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    offline_provisioner = api.testbed.app[app_keys.OFFLINE_PROVISIONER]
    enroll = offline_provisioner.provision

    async def failing(wanted: Any, origin: str) -> Any:
        if wanted.device_serial == "CAM-1":
            raise ValueError("inside")
        return await enroll(wanted, origin)

    monkeypatch.setattr(offline_provisioner, "enroll", failing)
    answer = await api.post(BULK, {"devices": [{"device_serial": f"CAM-{n}"} for n in range(3)]})
    text = await answer.text()
    assert [json.loads(line)["status"] for line in text.splitlines()] == [201, 500, 201]
    assert "inside" not in text


# --- units ---


async def test_pages_show_every_unit_once(api: Api) -> None:
    for number in range(7):
        await api.provision(f"CAM-{number}")
    seen: list[str] = []
    cursor: str | None = ""
    while cursor is not None:
        page = await (await api.get(DEVICES, params={"limit": "3", "cursor": cursor})).json()
        assert page["total"] == 7
        seen += [unit["device_serial"] for unit in page["devices"]]
        cursor = page["cursor"]
    assert seen == [f"CAM-{number}" for number in reversed(range(7))]


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ({}, ["CAM-2", "CAM-1"]),
        ({"device_family": "Other"}, ["CAM-2"]),
        ({"search": "am-1"}, ["CAM-1"]),
        ({"search": "%"}, []),
        ({"state": "revoked"}, ["CAM-1"]),
        ({"state": "provisioned"}, ["CAM-2"]),
        ({"station": "Bench 3"}, ["CAM-2", "CAM-1"]),
        ({"station": "elsewhere"}, []),
        ({"issued_since": "1795500000"}, ["CAM-2", "CAM-1"]),
        ({"issued_before": "1795500000"}, []),
    ],
)
async def test_each_filter_finds_what_it_says(api: Api, query: dict[str, str], found: list[str]) -> None:
    await api.provision("CAM-1")
    await api.provision("CAM-2", device_family="Other")
    await api.post(f"{DEVICES}/CAM-1/revoke", {"reason": "gone"})
    page = await (await api.get(DEVICES, params=query)).json()
    assert [unit["device_serial"] for unit in page["devices"]] == found
    assert page["total"] == len(found)


async def test_no_answer_about_units_holds_a_secret(api: Api) -> None:
    made = await api.provision("CAM-1")
    secrets = [made["nuc_hash"], *made["master_keys"].values(), made["device_private_key"][30:90]]
    for path in (DEVICES, f"{DEVICES}/CAM-1", f"{DEVICES}/CAM-1/certificate", "/stats", "/health", "/metrics", "/"):
        text = await (await api.get(path)).text()
        assert not [secret for secret in secrets if secret in text]
    index = BlindIndex(api.testbed.secret).of_bytes(bytes.fromhex(made["nuc_hash"]))
    assert index.hex() not in await (await api.get(f"{DEVICES}/CAM-1")).text()


async def test_a_certificate_comes_as_a_chain_or_as_der(api: Api) -> None:
    made = await api.provision("CAM-1")
    answer = await api.get(f"{DEVICES}/CAM-1/certificate")
    assert answer.content_type == "application/pem-certificate-chain"
    chain = x509.load_pem_x509_certificates(await answer.read())
    assert len(chain) == 3
    for certificate, issuer in itertools.pairwise(chain):
        certificate.verify_directly_issued_by(issuer)
    answer = await api.get(f"{DEVICES}/CAM-1/certificate?format=der")
    assert answer.content_type == "application/pkix-cert"
    der = await answer.read()
    assert x509.load_der_x509_certificate(der) == chain[0]
    assert chain[0].public_bytes(Encoding.PEM).decode() == made["device_certificate"]


async def test_a_revocation_shows_at_once_in_validation_list_unit_and_page(api: Api) -> None:
    made = await api.provision("CAM-1")
    passes, fails = {"valid": True, "message": "PASS"}, {"valid": False, "message": "FAIL"}
    number = x509.load_pem_x509_certificate(made["device_certificate"].encode()).serial_number
    assert await api.validate(api.token(made)) == passes
    for action, state, verdict, listed in (
        ("revoke", "revoked", fails, True),
        ("reinstate", "provisioned", passes, False),
    ):
        with api.testbed.bus.listen() as events:
            answer = await api.post(f"{DEVICES}/CAM-1/{action}", {"reason": f"for {action}"})
            assert (await answer.json())["state"] == state
            assert events.get_nowait().serial == "CAM-1"  # type: ignore[union-attr]
        assert await api.validate(api.token(made)) == verdict
        crl = x509.load_der_x509_crl(await (await api.client.get("/crl")).read())
        assert (crl.get_revoked_certificate_by_serial_number(number) is not None) is listed
        assert crl.is_signature_valid(api.testbed.authority.intermediate.public_key())  # type: ignore[arg-type]
        page = await (await api.client.get("/", headers={"Accept": "text/html"})).text()
        assert ("Revoked</span>" in page) is listed
    async with api.testbed.database.read() as connection:
        rows = (await connection.execute(audit.select().where(audit.c.event.in_(["revoked", "reinstated"])))).all()
    assert [json.loads(row.detail)["by"] for row in rows] == ["for everything"] * 2


async def test_what_was_revoked_for_good_stays_so(api: Api) -> None:
    await api.provision("CAM-1")
    await api.post(f"{DEVICES}/CAM-1/revoke", {"reason": "stolen", "code": "keyCompromise"})
    again = await api.post(f"{DEVICES}/CAM-1/revoke", {"reason": "stolen"})
    await problem(again, 409, "registry.already-revoked")
    back = await api.post(f"{DEVICES}/CAM-1/reinstate", {"reason": "back"})
    await problem(back, 409, "registry.revoked-for-good")
    await api.provision("CAM-2")
    back = await api.post(f"{DEVICES}/CAM-2/reinstate", {"reason": "back"})
    await problem(back, 409, "registry.not-revoked")


# --- validation ---


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


async def test_both_addresses_of_token_validation_are_the_same(api: Api) -> None:
    token = api.token(await api.provision("CAM-1"), index=999)
    assert await api.validate(token) == await api.validate(token, "/api/v1/validate/nuc")


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


# --- the authority ---


@pytest.mark.parametrize(
    ("query", "accept", "kind"),
    [
        ("", "*/*", "application/pkix-crl"),
        ("", "application/x-pem-file", "application/x-pem-file"),
        ("?format=pem", "*/*", "application/x-pem-file"),
        ("?format=der", "application/x-pem-file", "application/pkix-crl"),
    ],
)
async def test_the_list_comes_as_der_or_pem(api: Api, query: str, accept: str, kind: str) -> None:
    answer = await api.client.get(f"/crl{query}", headers={"Accept": accept})
    assert answer.content_type == kind
    load = x509.load_pem_x509_crl if kind.endswith("pem-file") else x509.load_der_x509_crl
    assert load(await answer.read()).issuer == api.testbed.authority.intermediate.subject


async def test_the_authoritys_certificates_come_as_pem_and_one_as_der(api: Api) -> None:
    authority = api.testbed.authority
    pem = await (await api.client.get("/ca")).read()
    assert x509.load_pem_x509_certificates(pem) == [authority.intermediate, authority.root]
    for name in ("root", "intermediate"):
        der = await (await api.client.get(f"/ca?format=der&certificate={name}")).read()
        assert x509.load_der_x509_certificate(der) == getattr(authority, name)


# --- the station ---


async def test_the_statistics_have_the_public_smas_fields_and_add_up(api: Api) -> None:
    for number, family in enumerate(("A", "A", "B")):
        await api.provision(f"CAM-{number}", device_family=family)
    found = await (await api.get("/stats")).json()
    assert found["total_devices"] == 3
    assert found["devices_by_family"] == {"A": 2, "B": 1}
    tables = found["table_statistics"]
    assert sum(tables["table_usage"].values()) == tables["total_assignments"] == found["total_table_assignments"] == 9
    assert tables["total_tables"] == len(tables["table_usage"]) == 10
    assert tables["avg_usage"] == pytest.approx(0.9)
    assert found["provisioning_seconds"]["count"] == 3


async def test_a_station_whose_registry_is_gone_is_not_ready(api: Api, tmp_path: Path) -> None:
    answer = await api.client.get("/ready")
    assert (answer.status, (await answer.json())["status"]) == (200, "ready")
    await api.testbed.database.close()
    for file in tmp_path.glob("registry.sqlite*"):
        file.unlink()
    (tmp_path / "registry.sqlite").write_bytes(b"no database" * 1000)
    answer = await api.client.get("/ready")
    body = await answer.json()
    assert (answer.status, body["status"], body["registry"], body["authority"]) == (503, "not ready", False, True)
    assert "birthmark_registry_up 0.0" in await (await api.client.get("/metrics")).text()


async def series(api: Api) -> set[str]:
    text = await (await api.client.get("/metrics")).text()
    return set(re.findall(r"^([a-z_]+)(?:{| )", text, re.MULTILINE)) | set(
        re.findall(r"^# TYPE (\S+)", text, re.MULTILINE)
    )


async def test_the_metrics_count_sessions_units_ports_and_disk(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metrics_page, "FRESH_SECONDS", 0.0)
    await api.provision("CAM-1")
    api.testbed.bus.tell(PortChanged("/dev/ttyACM0", PortState.FAILED, code="csr.subject-differs"))
    text = await (await api.client.get("/metrics")).text()
    assert 'birthmark_sessions_total{code="csr.subject-differs",outcome="failed"} 1.0' in text
    assert 'birthmark_units{state="provisioned"} 1.0' in text
    assert 'birthmark_ports{state="failed"} 1.0' in text
    assert 'birthmark_enrollments_total{code="",outcome="provisioned"} 1.0' in text
    assert re.search(r"^birthmark_disk_free_bytes [1-9]", text, re.MULTILINE)
    assert re.search(r'^birthmark_certificate_expiry_timestamp_seconds{certificate="root"} 2\.', text, re.MULTILINE)
    assert "/dev/" not in text


async def test_a_tampered_audit_log_shows_in_the_metrics(api: Api) -> None:
    await api.provision("CAM-1")
    await background.check_audit(api.testbed.app)
    assert "birthmark_audit_intact 1.0" in await (await api.client.get("/metrics")).text()
    async with api.testbed.database.write() as connection:
        await connection.exec_driver_sql("DROP TRIGGER audit_no_update")
        await connection.execute(audit.update().where(audit.c.event == "issued").values(serial="CAM-2"))
    await background.check_audit(api.testbed.app)
    assert "birthmark_audit_intact 0.0" in await (await api.client.get("/metrics")).text()


async def test_a_station_that_stops_during_its_first_check_leaves_no_connection_open(tmp_path: Path) -> None:
    for number in range(3):
        folder = tmp_path / str(number)
        folder.mkdir()
        async with opened(folder) as api:
            await asyncio.sleep(0)
            assert not api.testbed.app[app_keys.CLOSING].is_set()
    gc.collect()  # pytest makes an error of a connection that is found open here


async def test_every_metric_that_an_alert_names_exists(api: Api) -> None:
    there = await series(api)
    there |= {f"{name}_bucket" for name in there}
    rules = [rule for group in yaml.safe_load(ALERTS.read_text())["groups"] for rule in group["rules"]]
    assert len(rules) >= 5
    for rule in rules:
        named = set(re.findall(r"birthmark_[a-z_]+", rule["expr"]))
        assert named
        assert named <= there, rule["alert"]
        assert rule["annotations"].keys() == {"summary", "advice"}


# --- the description ---


async def test_the_description_names_every_route_and_nothing_else(api: Api) -> None:
    document = await (await api.client.get("/openapi.json")).json()
    assert document["openapi"] == "3.1.0"
    described = {(method.upper(), path) for path, item in document["paths"].items() for method in item}
    assert described == {(endpoint.method, endpoint.path) for endpoint in ENDPOINTS}
    routed = {
        (r.method, r.resource.canonical) for r in api.testbed.app.router.routes() if r.resource and r.method != "HEAD"
    }
    page = {("GET", "/events"), ("GET", "/login"), ("POST", "/login"), ("POST", "/logout"), ("GET", "/static")}
    assert routed == described | page


async def test_every_error_an_endpoint_names_has_a_status(api: Api) -> None:
    assert {code for endpoint in ENDPOINTS for code in endpoint.faults} <= STATUS.keys()


async def test_the_documentation_shows_every_endpoint_and_loads_nothing_from_elsewhere(api: Api) -> None:
    answer = await api.client.get("/docs")
    text = await answer.text()
    for endpoint in ENDPOINTS:
        assert f'<section id="{endpoint.name}">' in text
    assert not re.findall(r"""(?:src|href)=["'](?!/|#)""", text)
    assert "<script" not in text
    assert " style=" not in text
    targets = set(re.findall(r'href="#([^"]+)"', text))
    assert targets <= set(re.findall(r' id="([^"]+)"', text))
