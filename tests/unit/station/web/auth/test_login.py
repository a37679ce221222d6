"""Opening the page by a link; signing in with a token, and out."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from station.config import RatesConfig, StationConfig, WebConfig
from station.registry import tokens
from station.registry.tokens import Scope
from station.web.auth.access import COOKIE
from tests.harness.api_client import DEVICES, Api, opened, problem, session_headers


async def test_signing_out_and_revoking_the_token_both_end_a_session(api: Api) -> None:
    session = await api.sign_in(Scope.READ)
    own = session_headers(session, Sec_Fetch_Site="same-origin")
    assert (await api.client.post("/logout", headers=own, allow_redirects=False)).status == 303
    await problem(await api.client.get(DEVICES, headers=own), 401, "access.required")
    session = await api.sign_in(Scope.READ)
    async with api.testbed.station.database.write() as connection:
        for token in await tokens.list_all(connection):
            if token.revoked_at is None and token.scopes == {Scope.READ}:
                await tokens.revoke(connection, token.name, int(time.time()))
    await problem(await api.client.get(DEVICES, headers=session_headers(session)), 401, "access.denied")


async def test_a_wrong_token_at_the_sign_in_gets_the_form_again_and_is_not_repeated(api: Api) -> None:
    own = {"Sec-Fetch-Site": "same-origin"}
    answer = await api.client.post("/login", data={"token": "birthmark_wrong<b>"}, headers=own)
    assert answer.status == 403
    text = await answer.text()
    assert "unknown, expired or revoked" in text
    assert "wrong<b>" not in text
    assert COOKIE not in answer.cookies


@pytest.mark.parametrize(
    ("kind", "data", "status", "code"),
    [
        ("multipart/form-data", b"x", 415, "http.unsupported-media-type"),
        ("application/json", b"{}", 415, "http.unsupported-media-type"),
        ("application/x-www-form-urlencoded", b"\xff", 400, "http.malformed"),
        ("application/x-www-form-urlencoded", b"a&b=1&c=2&d=3&e=4&f=5", 400, "http.malformed"),
        ("application/x-www-form-urlencoded; charset=nonsense", b"token=x", 403, None),
        ("application/x-www-form-urlencoded", b"token=" + b"x" * 5000, 413, "http.too-large"),
    ],
)
async def test_a_sign_in_that_is_no_form_is_refused(
    api: Api, kind: str, data: bytes, status: int, code: str | None
) -> None:
    headers = {"Sec-Fetch-Site": "same-origin", "Content-Type": kind}
    answer = await api.client.post("/login", data=data, headers=headers)
    assert answer.status == status
    if code:
        await problem(answer, status, code)


async def test_a_link_opens_the_page_once_and_looking_at_it_consumes_nothing(api: Api) -> None:
    link, own = await api.testbed.link(), {"Sec-Fetch-Site": "same-origin"}
    for method in ("GET", "HEAD"):
        assert (await api.client.request(method, "/open", params={"link": link})).status == 200
    form = {"link": f"http://127.0.0.1/open#{link}"}
    answer = await api.client.post("/open", data=form, headers=own, allow_redirects=False)
    assert (answer.status, answer.headers["Location"]) == (303, "/")
    cookie = answer.cookies[COOKIE]
    assert (cookie["httponly"], cookie["samesite"], cookie["path"]) == (True, "Strict", "/")
    assert link not in cookie.value
    assert "Opened by a link" in await (await api.client.get("/", headers={"Accept": "text/html"})).text()
    await problem(await api.client.post("/open", data=form, headers=own), 403, "access.link-invalid")


@pytest.mark.parametrize("link", ["", "x", "A" * 22, "'" * 22, "é" * 22, "#"])
async def test_a_wrong_link_gets_a_page_that_says_what_to_do(api: Api, link: str) -> None:
    own = {"Sec-Fetch-Site": "same-origin", "Accept": "text/html"}
    answer = await api.client.post("/open", data={"link": link}, headers=own)
    text = await answer.text()
    assert answer.status == 403
    assert "sudo birthmark-station open" in text
    assert COOKIE not in answer.cookies
    assert not link or f">{link}<" not in text


async def test_wrong_links_are_counted_like_wrong_tokens(tmp_path: Path) -> None:
    config = StationConfig(web=WebConfig(rates=RatesConfig(refused_credentials=0.1)))
    async with opened(tmp_path, config) as api:
        own = {"Sec-Fetch-Site": "same-origin"}
        await problem(await api.client.post("/open", data={"link": "x"}, headers=own), 403, "access.link-invalid")
        await problem(await api.client.post("/open", data={"link": "x"}, headers=own), 429, "http.too-many")


async def test_signing_in_ends_the_session_that_was_there(api: Api) -> None:
    first = await api.sign_in(Scope.READ)
    await api.sign_in(Scope.READ)  # the client sends its cookie
    api.client.session.cookie_jar.clear()
    await problem(await api.client.get(DEVICES, headers=session_headers(first)), 401, "access.required")


async def test_the_session_cookie_is_kept_to_https_behind_a_proxy(tmp_path: Path) -> None:
    async with opened(tmp_path, behind_proxy=True) as api:
        data = {"token": await api.testbed.token(Scope.READ)}
        headers = {"Sec-Fetch-Site": "same-origin"}
        answer = await api.client.post("/login", data=data, headers=headers, allow_redirects=False)
        assert answer.cookies[COOKIE]["secure"]
