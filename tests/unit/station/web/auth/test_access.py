"""Who may do what: tokens and their scopes, and the operator's session."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from station.config import PageAccess, RatesConfig, StationConfig, WebConfig
from station.registry import tokens
from station.registry.tokens import Scope
from tests.harness.api_client import DEVICES, PROVISION, Api, opened, problem, session_headers


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


async def test_a_form_cannot_make_a_change(api: Api) -> None:
    session = session_headers(await api.sign_in(Scope.ADMIN), Sec_Fetch_Site="same-origin")
    answer = await api.client.post(PROVISION, data={"device_serial": "CAM-1"}, headers=session)
    await problem(answer, 415, "http.unsupported-media-type")


@pytest.mark.parametrize("path", ["/", "/events"])
@pytest.mark.parametrize(
    ("page", "behind_proxy", "headers"),
    [
        pytest.param(PageAccess.TOKEN, False, {}, id="closed_by_the_settings"),
        pytest.param(PageAccess.LOOPBACK, True, {}, id="behind_a_declared_proxy"),
        pytest.param(PageAccess.LOOPBACK, False, {"X-Forwarded-For": "192.0.2.1"}, id="through_an_undeclared_proxy"),
        pytest.param(PageAccess.LOOPBACK, False, {"Host": "sma.example.org"}, id="by_another_name"),
    ],
)
async def test_the_page_is_open_only_to_this_machine_by_itself(
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


async def test_wrong_tokens_are_counted_by_themselves(tmp_path: Path) -> None:
    config = StationConfig(web=WebConfig(rates=RatesConfig(refused_credentials=0.1)))
    async with opened(tmp_path, config) as api:
        wrong = {"Authorization": "Bearer wrong"}
        assert (await api.client.get(DEVICES, headers=wrong)).status == 401
        await problem(await api.client.get(DEVICES, headers=wrong), 429, "http.too-many")
        own = {"Sec-Fetch-Site": "same-origin"}
        await problem(await api.client.post("/login", data={"token": "x"}, headers=own), 429, "http.too-many")
        assert (await api.get(DEVICES)).status == 200
