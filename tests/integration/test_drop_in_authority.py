"""Who calls Birthmark's public authority calls the running service: its addresses, as its interface lists them.

Bodies are as there; what differs on purpose is in docs/birthmark.md."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.harness.public_birthmark import FIELDS, Answer, Camera, request
from virtual.station import VirtualStation

Ask = Callable[..., Answer]

MESSAGES = {
    "": {"service", "version", "status"},
    "health": {"status", "timestamp", "total_devices", "total_tables", "service"},
    "stats": {
        "total_devices",
        "devices_by_family",
        "total_table_assignments",
        "unique_tables_used",
        "table_statistics",
    },
    "api/v1/devices": {"total", "devices"},
    "api/v1/devices/camera-0001": {"device_serial", "device_family", "table_assignments", "provisioned_at"},
    "api/devices/camera-0001/status": {
        "device_serial",
        "device_family",
        "provisioned_at",
        "is_blacklisted",
        "blacklisted_at",
        "blacklist_reason",
        "submissions_24h",
        "submissions_total",
        "key_table_indices",
    },
    "api/admin/blacklist": {"total_blacklisted", "devices"},
}
"""Address → the fields that the public authority answers with."""

OPEN = ("", "health")

CHANGES = (
    ("POST", "api/v1/devices/provision", {"device_serial": "camera-0666"}),
    ("POST", "api/admin/blacklist/camera-0001", None),
    ("DELETE", "api/admin/blacklist/camera-0001", None),
)


@pytest.fixture(scope="module")
def station(tmp_path_factory: pytest.TempPathFactory) -> Iterator[VirtualStation]:
    folder = tmp_path_factory.mktemp("workspace")
    with VirtualStation(folder / "station", str(folder / "no-port")) as station:
        station.init("--tables", "10")
        station.start()
        yield station


@pytest.fixture(scope="module")
def token(station: VirtualStation) -> str:
    return station.make_token()


@pytest.fixture(scope="module")
def ask(station: VirtualStation, token: str) -> Ask:
    """Send a request with the admin token; a unit, camera-0001, is there."""

    def ask(method: str, path: str, body: object = None, token: str = token) -> Answer:
        return request(method, station.address + path, body, token)

    made = ask("POST", "api/v1/devices/provision", {"device_serial": "camera-0001"})
    assert made.status == 201
    return ask


@pytest.mark.parametrize("path", MESSAGES)
@pytest.mark.parametrize("slash", ["", "/"])
def test_every_address_answers_with_its_fields(ask: Ask, path: str, slash: str) -> None:
    answer = ask("GET", path + (slash if path else ""))
    assert (answer.status, answer.headers.get_content_type()) == (200, "application/json")
    assert answer.json().keys() >= MESSAGES[path]


def test_root_is_the_public_authoritys_to_a_program_and_a_page_to_who_asks_for_one(station: VirtualStation) -> None:
    about = request("GET", station.address).json()
    assert (about["service"], about["status"]) == ("Birthmark SMA", "running")
    browser = request("GET", station.address, accept="text/html,application/xhtml+xml,*/*;q=0.8")
    assert (browser.status, browser.headers["Location"]) == (303, "/login")


def test_a_request_to_provision_as_its_callers_send_it_is_answered_with_what_a_camera_loads(ask: Ask) -> None:
    body = {
        "device_serial": "camera-0002",
        "device_family": "Raspberry Pi",
        "nuc_hash": "AB" * 32,
        "device_secret": None,
    }
    answer = ask("POST", "api/v1/devices/provision", {**body, "firmware": "1.0"})
    assert answer.status == 201
    made = answer.json()
    assert set(FIELDS) <= made.keys()
    assert made["nuc_hash"] == "ab" * 32
    assert Camera(made).serial == "camera-0002"
    again = ask("POST", "api/v1/devices/provision", body)
    assert (again.status, "detail" in again.json()) == (409, True)
    family = ask("GET", "api/v1/devices?device_family=Raspberry%20Pi").json()
    assert "camera-0002" in {one["device_serial"] for one in family["devices"]}
    assert ask("GET", "api/v1/devices?device_family=Toaster").json()["total"] == 0


@pytest.mark.parametrize("nuc_hash", [None, ""])
def test_without_a_nuc_hash_one_is_made(ask: Ask, nuc_hash: str | None) -> None:
    serial = f"camera-without-{'null' if nuc_hash is None else 'text'}"
    made = ask("POST", "api/v1/devices/provision", {"device_serial": serial, "nuc_hash": nuc_hash}).json()
    assert re.fullmatch("[0-9a-f]{64}", made["nuc_hash"])


def test_a_nuc_hash_that_is_no_hexadecimal_is_the_callers_error(ask: Ask) -> None:
    answer = ask("POST", "api/v1/devices/provision", {"device_serial": "camera-0003", "nuc_hash": "zz" * 32})
    assert (answer.status, answer.json()["field"]) == (400, "nuc_hash")


def test_blacklisting_is_as_its_callers_expect(ask: Ask) -> None:
    put = ask("POST", "api/admin/blacklist/camera-0001?reason=10001%20submissions")
    assert put.status == 200
    told = put.json()
    assert (told["device_serial"], told["blacklisted"], told["reason"]) == ("camera-0001", True, "10001 submissions")
    listed = ask("GET", "api/admin/blacklist").json()
    assert listed["total_blacklisted"] == 1
    [one] = listed["devices"]
    assert one.keys() == {"device_serial", "device_family", "blacklisted_at", "blacklist_reason"}
    assert ask("GET", "api/devices/camera-0001/status").json()["is_blacklisted"] is True
    took = ask("DELETE", "api/admin/blacklist/camera-0001")
    assert (took.status, took.json()["blacklisted"]) == (200, False)
    assert ask("GET", "api/admin/blacklist").json()["total_blacklisted"] == 0
    for method in ("POST", "DELETE"):
        assert ask(method, "api/admin/blacklist/camera-0999").status == 404


@pytest.mark.parametrize("path", [path for path in MESSAGES if path not in OPEN])
def test_what_the_public_authority_tells_anybody_needs_a_token(ask: Ask, path: str) -> None:
    assert ask("GET", path, token="").status == 401


@pytest.mark.parametrize(("method", "path", "body"), CHANGES, ids=lambda value: value if isinstance(value, str) else "")
def test_every_change_needs_a_token(ask: Ask, method: str, path: str, body: Any) -> None:
    before = ask("GET", "api/v1/devices").json()
    assert ask(method, path, body, token="").status == 401
    assert ask("GET", "api/v1/devices").json() == before


def test_the_second_form_is_refused_by_a_sentence_that_says_what_instead(ask: Ask) -> None:
    body = {"device_serial": "iphone-1", "device_family": "iOS", "device_secret": "ab" * 32}
    for path, credentials in (("provision-phase2", ()), ("provision-phase2", ("",)), ("provision", ())):
        answer = ask("POST", f"api/v1/devices/{path}", body, *credentials)
        told = answer.json()
        assert (answer.status, told["code"]) == (403, "provisioning.phase-two-refused")
        assert "certificate request" in told["advice"]
        assert "ab" * 32 not in answer.body.decode()
    assert ask("GET", "api/v1/devices/iphone-1").status == 404


@pytest.mark.parametrize("path", ["api/admin/abuse/check", "api/admin/abuse/report", "cache/stats", "redoc"])
def test_addresses_that_nobody_uses_or_that_would_change_by_reading_are_not_there(ask: Ask, path: str) -> None:
    assert ask("GET", path).status == 404


def test_times_say_that_they_are_utc(ask: Ask) -> None:
    for path, name in (("health", "timestamp"), ("api/devices/camera-0001/status", "provisioned_at")):
        assert ask("GET", path).json()[name].endswith("+00:00")


@pytest.mark.parametrize("serial", ["", "a/b", "a\nb", "a\0b", "<b>", "a" * 65, "provision-phase2"])
def test_a_serial_number_that_is_no_word_is_refused(ask: Ask, serial: str) -> None:
    assert ask("POST", "api/v1/devices/provision", {"device_serial": serial}).status == 400
