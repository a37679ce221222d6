"""Units over HTTP: lists, filters, certificates, revocation; never a secret."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import pytest
from aiohttp.test_utils import TestClient, TestServer
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from shared.types import TableId
from station.authority.certificates import AuthorityCertificates
from station.authority.files import Authority
from station.authority.key_file import KeyFileIssuer
from station.provisioning.offline import ProvisioningRequest
from station.registry import reservations
from station.registry.records import UNKNOWN_AUTHORITY, Signed
from station.registry.schema import audit
from station.registry.tokens import Scope
from station.secrets.blind_index import BlindIndex
from tests.harness.api_client import DEVICES, PROVISION, Api, problem
from tests.harness.bare_station import with_other
from tests.harness.certificates import NOW, chain_of_trust
from tests.harness.page_testbed import APPLICANT, open_page_testbed


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
    index = BlindIndex(api.testbed.station.secret).of_bytes(bytes.fromhex(made["nuc_hash"]))
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


async def test_the_chain_of_a_unit_that_an_earlier_intermediate_issued_is_whole(tmp_path: Path) -> None:
    other = chain_of_trust()
    async with open_page_testbed(tmp_path) as testbed:
        before = testbed.station.authority.certificates
        await testbed.station.offline_provisioner.provision(ProvisioningRequest("CAM-1"), "test")
        now = AuthorityCertificates(before.root, other.intermediate, (before.intermediate,))
        issuer = KeyFileIssuer(testbed.station.config.authority, now, other.intermediate_key, NOW)
        authority = Authority(now, issuer, testbed.station.authority.identity)
        testbed.station = with_other(testbed.station, authority=authority)
        testbed.new_app()
        async with TestClient(TestServer(testbed.app)) as client:
            api = Api(testbed, client, await testbed.token(Scope.READ))
            chain = x509.load_pem_x509_certificates(await (await api.get(f"{DEVICES}/CAM-1/certificate")).read())
    assert chain[1:] == [before.intermediate, before.root]
    for certificate, above in itertools.pairwise(chain):
        certificate.verify_directly_issued_by(above)


async def test_a_certificate_of_an_unknown_authority_comes_alone(api: Api) -> None:
    chain = chain_of_trust()
    der = chain.device.public_bytes(Encoding.DER)
    elsewhere = Signed(der, chain.device.serial_number, UNKNOWN_AUTHORITY, 1_899_000_000)
    async with api.testbed.station.database.write() as connection:
        await reservations.take_over(
            connection, APPLICANT, elsewhere, (TableId(0), TableId(1), TableId(2)), 1_795_000_000
        )
    shown = await (await api.get(f"{DEVICES}/{APPLICANT.serial}")).json()
    assert (shown["state"], shown["certificate_authority"]) == ("provisioned", "unknown")
    answer = await api.get(f"{DEVICES}/{APPLICANT.serial}/certificate")
    assert x509.load_pem_x509_certificates(await answer.read()) == [chain.device]


async def test_a_reservation_is_no_unit_of_the_list_and_has_no_certificate(api: Api) -> None:
    async with api.testbed.station.database.write() as connection:
        await reservations.reserve_unit(
            connection, APPLICANT, 4711, (TableId(0), TableId(1), TableId(2)), 1_795_500_000
        )
    assert (await (await api.get(DEVICES)).json())["devices"] == []
    [listed] = (await (await api.get(DEVICES, params={"state": "reserved"})).json())["devices"]
    shown = await (await api.get(f"{DEVICES}/{APPLICANT.serial}")).json()
    assert listed == shown
    assert (shown["state"], shown["certificate_serial"], shown["certificate_authority"]) == ("reserved", "", "")
    assert (shown["issued_at"], shown["certificate_not_after"], shown["provisioned_at"]) == (None, None, None)
    await problem(await api.get(f"{DEVICES}/{APPLICANT.serial}/certificate"), 404, "registry.unknown-unit")
    revoked = await api.post(f"{DEVICES}/{APPLICANT.serial}/revoke", {"reason": "stolen"})
    assert (await revoked.json())["state"] == "revoked"
    page = await (await api.get("/", headers={"Accept": "text/html"})).text()
    assert "Revoked</span>" in page
    assert "Expired" not in page
    reinstated = await api.post(f"{DEVICES}/{APPLICANT.serial}/reinstate", {"reason": "found"})
    assert (await reinstated.json())["state"] == "reserved"


async def test_a_revocation_shows_at_once_in_validation_list_unit_and_page(api: Api) -> None:
    made = await api.provision("CAM-1")
    passes, fails = {"valid": True, "message": "PASS"}, {"valid": False, "message": "FAIL"}
    number = x509.load_pem_x509_certificate(made["device_certificate"].encode()).serial_number
    assert await api.validate(api.token(made)) == passes
    for action, state, verdict, listed in (
        ("revoke", "revoked", fails, True),
        ("reinstate", "provisioned", passes, False),
    ):
        with api.testbed.station.bus.listen() as events:
            answer = await api.post(f"{DEVICES}/CAM-1/{action}", {"reason": f"for {action}"})
            assert (await answer.json())["state"] == state
            assert events.get_nowait().serial == "CAM-1"  # type: ignore[union-attr]
        assert await api.validate(api.token(made)) == verdict
        crl = x509.load_der_x509_crl(await (await api.client.get("/crl")).read())
        assert (crl.get_revoked_certificate_by_serial_number(number) is not None) is listed
        assert crl.is_signature_valid(api.testbed.station.authority.certificates.intermediate.public_key())  # type: ignore[arg-type]
        page = await (await api.get("/", headers={"Accept": "text/html"})).text()
        assert ("Revoked</span>" in page) is listed
    async with api.testbed.station.database.read() as connection:
        rows = (await connection.execute(audit.select().where(audit.c.event.in_(["revoked", "reinstated"])))).all()
    assert [json.loads(row.detail)["by"] for row in rows] == ["for everything"] * 2


async def test_a_unit_revoked_for_good_stays_revoked(api: Api) -> None:
    await api.provision("CAM-1")
    await api.post(f"{DEVICES}/CAM-1/revoke", {"reason": "stolen", "code": "keyCompromise"})
    again = await api.post(f"{DEVICES}/CAM-1/revoke", {"reason": "stolen"})
    await problem(again, 409, "registry.already-revoked")
    back = await api.post(f"{DEVICES}/CAM-1/reinstate", {"reason": "back"})
    await problem(back, 409, "registry.revoked-for-good")
    await api.provision("CAM-2")
    back = await api.post(f"{DEVICES}/CAM-2/reinstate", {"reason": "back"})
    await problem(back, 409, "registry.not-revoked")


@pytest.mark.parametrize("serial", ["CAM-9", "%2e%2e%2fetc", "a" * 4000, "%00", "<b>"])
@pytest.mark.parametrize("what", ["", "/certificate"])
async def test_a_unit_that_there_is_not_is_a_404(api: Api, serial: str, what: str) -> None:
    answer = await api.get(f"{DEVICES}/{serial}{what}")
    assert answer.status == 404
    assert "CAM-9" not in await answer.text()


async def test_a_serial_number_is_one_units_in_whatever_case(api: Api) -> None:
    await api.provision("Cam-1")
    for spelling in ("Cam-1", "CAM-1", "cam-1"):
        unit = await (await api.get(f"{DEVICES}/{spelling}")).json()
        assert unit["device_serial"] == "Cam-1"
    taken = await api.post(PROVISION, {"device_serial": "CAM-1"})
    await problem(taken, 409, "registry.serial-taken")
    assert (await api.post(f"{DEVICES}/CAM-1/revoke", {"reason": "lost"})).status == 200
    assert (await (await api.get(f"{DEVICES}/Cam-1")).json())["state"] == "revoked"
    assert (await api.post(f"{DEVICES}/cam-1/reinstate", {"reason": "found"})).status == 200
    assert (await api.get(f"{DEVICES}/cAM-1/certificate")).status == 200
