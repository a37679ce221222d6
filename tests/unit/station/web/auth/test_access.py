"""Who may do what: tokens and their scopes, and the operator's session."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from station.config import PageAccess, RatesConfig, StationConfig, WebConfig
from station.registry import tokens
from station.registry.tokens import Scope
from station.web.auth.access import PAGE_KEY
from station.web.auth.sessions import CHANGING_SECONDS, READING_SECONDS
from tests.harness.api_client import DEVICES, KEY, PROVISION, Api, opened, problem, session_headers
from tests.harness.bare_station import Clock
from tests.harness.page_testbed import open_by_link


async def test_a_revoked_token_is_good_for_nothing_from_then_on(api: Api) -> None:
    secret = await api.testbed.token(Scope.READ, name="short-lived")
    headers = {"Authorization": f"Bearer {secret}"}
    assert (await api.client.get(DEVICES, headers=headers)).status == 200
    async with api.testbed.station.database.write() as connection:
        await tokens.revoke(connection, "short-lived", int(time.time()))
    await problem(await api.client.get(DEVICES, headers=headers), 401, "access.denied")


async def test_a_signed_in_operator_may_do_what_the_token_allows(api: Api) -> None:
    await api.provision("CAM-1")
    session = await api.sign_in(Scope.ADMIN)
    assert (await api.client.get(DEVICES, headers=session_headers(session))).status == 200
    own = session_headers(session, Sec_Fetch_Site="same-origin")
    answer = await api.client.post(f"{DEVICES}/CAM-1/revoke", json={"reason": "gone"}, headers=own)
    assert (await answer.json())["state"] == "revoked"
    reader = session_headers(await api.sign_in(Scope.READ), Sec_Fetch_Site="same-origin")
    answer = await api.client.post(f"{DEVICES}/CAM-1/reinstate", json={"reason": "back"}, headers=reader)
    await problem(answer, 403, "access.scope-missing")


async def test_a_session_without_its_pages_key_only_reads(api: Api) -> None:
    await api.provision("CAM-1")
    own = session_headers(await api.sign_in(Scope.ADMIN), Sec_Fetch_Site="same-origin")
    for key in ("", "cd" * 32, KEY.upper(), "é" * 64):
        headers = {**own, PAGE_KEY: key}
        assert (await api.client.get(DEVICES, headers=headers)).status == 200
        answer = await api.client.post(f"{DEVICES}/CAM-1/revoke", json={"reason": "gone"}, headers=headers)
        await problem(answer, 403, "access.page-key-missing")
    assert (await api.client.post(f"{DEVICES}/CAM-1/revoke", json={"reason": "gone"}, headers=own)).status == 200


@pytest.mark.parametrize("scope", [None, Scope.READ, Scope.ADMIN])
async def test_a_session_that_may_make_changes_is_the_shorter(api: Api, scope: Scope | None) -> None:
    if scope is None:
        await open_by_link(api.testbed, api.client)
        headers = {}
    else:
        headers = session_headers(await api.sign_in(scope))
        api.client.session.cookie_jar.clear()
    clock = api.testbed.station.clock
    assert isinstance(clock, Clock)
    begun, ends = clock.now, CHANGING_SECONDS if scope is Scope.ADMIN else READING_SECONDS
    clock.now = begun + ends - 2
    assert (await api.client.get(DEVICES, headers=headers)).status == 200
    clock.now = begun + ends + 2
    await problem(await api.client.get(DEVICES, headers=headers), 401, "access.required")


async def test_a_page_that_a_link_opened_makes_no_change(api: Api) -> None:
    await api.provision("CAM-1")
    await open_by_link(api.testbed, api.client)
    own = {"Sec-Fetch-Site": "same-origin", PAGE_KEY: KEY}
    assert (await api.client.get(DEVICES)).status == 200
    answer = await api.client.post(f"{DEVICES}/CAM-1/revoke", json={"reason": "gone"}, headers=own)
    await problem(answer, 403, "access.page-key-missing")


async def test_a_form_cannot_make_a_change(api: Api) -> None:
    session = session_headers(await api.sign_in(Scope.ADMIN), Sec_Fetch_Site="same-origin")
    answer = await api.client.post(PROVISION, data={"device_serial": "CAM-1"}, headers=session)
    await problem(answer, 415, "http.unsupported-media-type")


@pytest.mark.parametrize("path", ["/", "/events"])
@pytest.mark.parametrize(
    ("page", "behind_proxy", "headers"),
    [
        pytest.param(PageAccess.CLOSED, False, {}, id="closed_by_the_settings"),
        pytest.param(PageAccess.LOOPBACK, True, {}, id="behind_a_declared_proxy"),
        pytest.param(PageAccess.LOOPBACK, False, {"X-Forwarded-For": "192.0.2.1"}, id="through_an_undeclared_proxy"),
        pytest.param(PageAccess.LOOPBACK, False, {"Host": "sma.example.org"}, id="by_another_name"),
    ],
)
async def test_open_on_loopback_is_closed_to_what_says_that_it_comes_from_elsewhere(
    tmp_path: Path, page: PageAccess, behind_proxy: bool, headers: dict[str, str], path: str
) -> None:
    config = StationConfig(web=WebConfig(page=page, hosts=["sma.example.org"]))
    async with opened(tmp_path, config, behind_proxy=behind_proxy) as api:
        html = {"Accept": "text/html", **headers}
        answer = await api.client.get(path, headers=html, allow_redirects=False)
        if path == "/":
            assert (answer.status, answer.headers["Location"]) == (303, "/login")
        else:
            assert answer.status == 401
        assert "Units" not in await answer.text()
        async with api.client.get(path, headers={**html, **api.bearer}) as answer:
            assert answer.status == 200


async def test_open_on_loopback_opens_the_page_and_nothing_else(tmp_path: Path) -> None:
    async with opened(tmp_path, StationConfig(web=WebConfig(page=PageAccess.LOOPBACK))) as api:
        html = {"Accept": "text/html"}
        assert "Units" in await (await api.client.get("/", headers=html)).text()
        async with api.client.get("/events") as answer:
            assert answer.status == 200
        await problem(await api.client.get(DEVICES), 401, "access.required")


async def test_wrong_tokens_are_counted_by_themselves(tmp_path: Path) -> None:
    config = StationConfig(web=WebConfig(rates=RatesConfig(refused_credentials=0.1)))
    async with opened(tmp_path, config) as api:
        wrong = {"Authorization": "Bearer wrong"}
        assert (await api.client.get(DEVICES, headers=wrong)).status == 401
        await problem(await api.client.get(DEVICES, headers=wrong), 429, "http.too-many")
        own = {"Sec-Fetch-Site": "same-origin"}
        await problem(await api.client.post("/login", data={"token": "x"}, headers=own), 429, "http.too-many")
        assert (await api.get(DEVICES)).status == 200
