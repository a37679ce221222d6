"""The page as a browser without JavaScript gets it, over HTTP from a real registry and bus."""

from __future__ import annotations

import html
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from aiohttp.test_utils import TestClient, TestServer

from station.attestation.ek.verification import EkTrust
from station.config import AuthorityConfig, EkPolicy, StationConfig
from station.events import NoticeChanged, PortChanged, PortState, Topic
from station.registry import revocation
from station.registry.revocation import RevocationCode
from station.web import app_keys
from station.web.pages import overview
from tests.harness.page_testbed import MARKUP, Client, PageTestbed, open_by_link, open_page_testbed


class Tags(HTMLParser):
    """Collects every tag with its attributes, as a browser would see them."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[tuple[str, list[tuple[str, str | None]]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, attrs))


async def text_of(client: Client, address: str = "/") -> str:
    """The page's text without its tags, each run of space one space."""
    answer = await client.get(address, headers={"Accept": "text/html"})
    assert answer.status == 200
    body = re.sub(r"<[^>]*>", " ", await answer.text())
    return " ".join(html.unescape(body).split())


async def test_an_empty_station_says_so_and_what_to_do(client: Client) -> None:
    text = await text_of(client)
    assert "Nothing is plugged in." in text
    assert "No unit has been provisioned yet." in text


async def test_a_unit_is_listed_with_all_that_is_known_of_it(testbed: PageTestbed, client: Client) -> None:
    unit = await testbed.provision("10000000a3f29c41")
    text = await text_of(client)
    assert "10000000a3f29c41 Raspberry Pi Zero 2 W Rev 1.0" in text
    assert ", ".join(map(str, unit.tables)) in text
    assert "Genuine Infineon SLB9672" in text
    assert "1 provisioned" in text
    body = await (await client.get("/", headers={"Accept": "text/html"})).text()
    assert re.search(r'<time datetime="20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00">20\d\d-\d\d-\d\d \d\d:\d\d</time>', body)


async def test_units_are_listed_the_latest_first(testbed: PageTestbed, client: Client) -> None:
    for serial in ("unit-a", "unit-b", "unit-c"):
        await testbed.provision(serial)
    text = await text_of(client)
    assert text.index("unit-c") < text.index("unit-b") < text.index("unit-a")


@pytest.mark.parametrize(
    ("trust", "reason", "says"),
    [
        ("simulated", "", "Simulator Software, not a real TPM. Not for production."),
        ("unverified", "no vendor is known", "Unverified No vendor is known"),
        ("of-a-later-version", "", "Unverified No reason was recorded."),
    ],
)
async def test_a_tpm_that_is_not_genuine_is_marked_in_words(
    testbed: PageTestbed, client: Client, trust: str, reason: str, says: str
) -> None:
    await testbed.provision("unit", ek_trust=trust, ek_reason=reason)
    text = await text_of(client)
    assert says in text
    assert "Genuine" not in text


@pytest.mark.parametrize(("days", "says"), [(-1, "Expired"), (0.5, "Expires today"), (9.5, "Expires in 9 days")])
async def test_a_certificate_near_its_end_is_pointed_to(
    testbed: PageTestbed, client: Client, days: float, says: str
) -> None:
    await testbed.provision("unit", days=days)
    assert says in await text_of(client)


async def test_a_certificate_far_from_its_end_is_not(testbed: PageTestbed, client: Client) -> None:
    await testbed.provision("unit", days=730)
    assert "Expire" not in await text_of(client)


async def test_a_unit_without_a_receipt_is_shown_as_not_confirmed(testbed: PageTestbed, client: Client) -> None:
    await testbed.provision("unit", confirmed=False)
    text = await text_of(client)
    assert "1 issued, not yet confirmed" in text
    assert "Not yet confirmed Issued" in text


async def test_a_revoked_unit_is_shown_with_the_reason(testbed: PageTestbed, client: Client) -> None:
    await testbed.provision("unit")
    async with testbed.station.database.write() as connection:
        await revocation.revoke(connection, "unit", RevocationCode.KEY_COMPROMISE, "stolen <b>van</b>", 1)
    text = await text_of(client)
    assert "Revoked stolen <b>van</b>" in text
    assert "1 revoked" in text


@pytest.mark.parametrize(
    ("state", "word"),
    [
        (PortState.ABSENT, "Closed"),
        (PortState.WAITING, "Ready"),
        (PortState.WORKING, "Working"),
        (PortState.DONE, "Done"),
        (PortState.FAILED, "Failed"),
    ],
)
async def test_each_state_of_a_port_has_a_word(
    testbed: PageTestbed, client: Client, state: PortState, word: str
) -> None:
    testbed.station.bus.tell(PortChanged("/dev/ttyACM0", state, note="what is going on"))
    text = await text_of(client)
    assert f"Ports 1 {word.lower()} {word}" in text
    assert "What is going on" in text


async def test_a_session_shows_its_step_and_a_failure_its_sentence_and_code(
    testbed: PageTestbed, client: Client
) -> None:
    testbed.station.bus.tell(PortChanged("/dev/ttyACM0", PortState.WORKING, 4, "serial-4", "Pi", "Verifying the proof"))
    failed = PortChanged("/dev/ttyACM1", PortState.FAILED, 3, "serial-3", "Pi", "It is false. Unplug it.", "csr.false")
    testbed.station.bus.tell(failed)
    text = await text_of(client)
    assert "serial-4" in text
    assert "Step 4 of 6" in text
    assert "It is false. Unplug it. csr.false" in text
    body = await (await client.get("/", headers={"Accept": "text/html"})).text()
    assert body.count('<li class="done">') == 4 + 3
    assert body.count('<li class="now">') == 1
    assert body.count('<li class="failed">') == 1


async def test_a_failed_pis_card_says_what_it_lacks(testbed: PageTestbed, client: Client) -> None:
    failed = PortChanged(
        "/dev/ttyACM1", PortState.FAILED, 2, "serial-3", "Pi", "No answer.", "link.silent", ("identity.one-slot",)
    )
    testbed.station.bus.tell(failed)
    text = await text_of(client, "/")
    assert "The Pi says of itself:" in text
    assert "and the other would have none. Let the image share it" in text
    assert "identity.one-slot" in text


async def test_a_devices_names_stay_text(testbed: PageTestbed, client: Client) -> None:
    await testbed.provision(MARKUP, model=MARKUP, ek_trust="unverified", ek_reason=MARKUP)
    testbed.station.bus.tell(PortChanged(MARKUP, PortState.FAILED, 3, MARKUP, MARKUP, MARKUP, MARKUP))
    testbed.station.bus.tell(PortChanged(MARKUP + "2", PortState.WAITING, note=MARKUP))
    body = await (await client.get("/", params={"search": MARKUP}, headers={"Accept": "text/html"})).text()
    assert body.count("&lt;img src=x onerror=") >= 10
    assert "<img src=x" not in body
    tags = Tags()
    tags.feed(body)
    assert [tag for tag in tags.seen if tag[0] == "script"] == [
        ("script", [("type", "module"), ("src", f"/static/live.js?{testbed.app[app_keys.ASSET_VERSION]}")])
    ]
    assert not [name for _, attributes in tags.seen for name, _ in attributes if name.startswith("on")]


async def test_fifty_units_make_a_page_and_the_rest_is_a_link_away(testbed: PageTestbed, client: Client) -> None:
    for number in range(overview.UNITS_PER_PAGE + 3):
        await testbed.provision(f"unit-{number:03}")
    body = await (await client.get("/", headers={"Accept": "text/html"})).text()
    assert body.count('<tr role="row" id="unit-') == overview.UNITS_PER_PAGE
    [older] = re.findall(r'<a rel="next" href="([^"]*)">', body)
    text = await text_of(client, html.unescape(older))
    assert [number for number in range(53) if f"unit-{number:03}" in text] == [0, 1, 2]
    assert "← Latest" in text
    assert "Older" not in text
    assert "53 provisioned" in text


async def test_the_search_finds_part_of_a_serial_and_takes_no_wildcards(testbed: PageTestbed, client: Client) -> None:
    for serial in ("aa-1", "AA-2", "b%b"):
        await testbed.provision(serial)
    text = await text_of(client, "/?search=aa")
    assert "aa-1" in text
    assert "AA-2" in text
    assert "b%b" not in text
    assert "2 with “aa” in the serial number" in text
    assert "1 with “%” in the serial number" in await text_of(client, "/?search=%25")
    assert "No unit has “zz” in its serial number." in await text_of(client, "/?search=zz")


async def test_the_links_of_a_search_keep_to_it(testbed: PageTestbed, client: Client) -> None:
    for number in range(overview.UNITS_PER_PAGE + 1):
        await testbed.provision(f"a&b-{number}")
    body = await (await client.get("/", params={"search": "a&b"}, headers={"Accept": "text/html"})).text()
    [older] = re.findall(r'<a rel="next" href="([^"]*)">', body)
    assert older.startswith("/?search=a%26b&amp;cursor=")
    text = await text_of(client, html.unescape(older))
    assert "a&b-0" in text
    assert "a&b-1 " not in text


@pytest.mark.parametrize(
    ("policy", "says"),
    [
        (EkPolicy.SIMULATOR, "Not for production."),
        (EkPolicy.RECORD, "TPMs are not verified."),
        (EkPolicy.REQUIRE, None),
    ],
)
async def test_a_lenient_policy_is_announced(tmp_path: Path, policy: EkPolicy, says: str | None) -> None:
    async with open_page_testbed(tmp_path, policy=policy) as made, TestClient(TestServer(made.app)) as client:
        await open_by_link(made, client)
        body = await (await client.get("/", headers={"Accept": "text/html"})).text()
    assert ('id="policy"' in body) == (says is not None)
    assert says is None or says in body


@pytest.mark.parametrize(
    ("public_url", "policy", "genuine", "warns"),
    [
        ("http://127.0.0.1:8001", EkPolicy.REQUIRE, False, True),
        ("http://127.0.0.1:8001", EkPolicy.RECORD, False, True),
        ("http://localhost", EkPolicy.REQUIRE, False, True),
        ("http://127.0.0.1:8001", EkPolicy.SIMULATOR, False, False),
        ("http://127.0.0.1:8001", EkPolicy.SIMULATOR, True, True),
        ("https://station.example.org", EkPolicy.REQUIRE, True, False),
    ],
)
async def test_an_address_nobody_else_can_reach_is_warned_of_where_units_are_real(
    tmp_path: Path, public_url: str, policy: EkPolicy, genuine: bool, warns: bool
) -> None:
    config = StationConfig(authority=AuthorityConfig(public_url=public_url))
    async with (
        open_page_testbed(tmp_path, policy=policy, config=config) as made,
        TestClient(TestServer(made.app)) as client,
    ):
        await open_by_link(made, client)
        await made.provision("unit", ek_trust=(EkTrust.VERIFIED if genuine else EkTrust.SIMULATED).value)
        body = await (await client.get("/", headers={"Accept": "text/html"})).text()
    assert ('id="unreachable"' in body) == warns
    assert (f"public_url is {public_url}" in body) == warns


async def test_programs_get_service_version_and_status(client: Client) -> None:
    answer = await client.get("/", headers={"Accept": "application/json"})
    assert answer.content_type == "application/json"
    assert answer.headers["Vary"] == "Accept"
    body = await answer.json()
    assert body.keys() == {"service", "version", "status"}
    assert body["status"] == "running"


async def test_a_browser_without_javascript_renews_the_page_by_itself(client: Client) -> None:
    body = await (await client.get("/", headers={"Accept": "text/html"})).text()
    assert '<noscript><meta http-equiv="refresh" content="10"></noscript>' in body


async def test_why_no_port_can_appear_stands_where_the_ports_would(testbed: PageTestbed, client: Client) -> None:
    testbed.station.bus.tell(NoticeChanged(Topic.PORTS, "The udev rule is <b>not</b> installed."))
    text = await text_of(client)
    assert "No port is served. The udev rule is <b>not</b> installed." in text
    assert "Nothing is plugged in." not in text
    testbed.station.bus.tell(NoticeChanged(Topic.PORTS, ""))
    assert "Nothing is plugged in." in await text_of(client)


async def test_problems_with_the_vendors_certificates_are_on_the_page(testbed: PageTestbed, client: Client) -> None:
    assert "vendors' certificates" not in await text_of(client)
    testbed.station.bus.tell(NoticeChanged(Topic.VENDORS, "TPM vendors' certificates: <b>.pem: bad"))
    assert "TPM vendors' certificates: <b>.pem: bad" in await text_of(client)
    testbed.station.bus.tell(NoticeChanged(Topic.VENDORS, ""))
    assert "vendors' certificates" not in await text_of(client)
