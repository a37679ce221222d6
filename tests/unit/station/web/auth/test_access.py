"""Who may do what: tokens and their scopes, the operator's session, other sites, proxies, and rates."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path
from unittest.mock import Mock

import pytest
from aiohttp import ClientSession, UnixConnector
from aiohttp.test_utils import make_mocked_request

from station.config import MetricsAccess, PageAccess, RatesConfig, StationConfig, WebConfig
from station.registry import tokens
from station.registry.tokens import Scope
from station.web.auth.access import COOKIE
from station.web.http.clients import is_own_address
from station.web.routes import ENDPOINTS
from tests.harness.api_client import DEVICES, PROVISION, Api, opened, problem

OPEN = {"/", "/ca", "/crl", "/docs", "/health", "/metrics", "/openapi.json", "/ready"}
OPEN |= {"/validate", "/api/v1/validate/nuc", "/validate-cert"}
CLOSED = [endpoint for endpoint in ENDPOINTS if endpoint.path not in OPEN]


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[Api]:
    async with opened(tmp_path) as made:
        yield made


def path_of(path: str) -> str:
    return path.replace("{serial}", "CAM-1")


@pytest.mark.parametrize("endpoint", CLOSED, ids=lambda endpoint: endpoint.name)
async def test_what_is_not_open_needs_a_good_token_of_its_scope(api: Api, endpoint) -> None:  # type: ignore[no-untyped-def]
    method, path = endpoint.method, path_of(endpoint.path)
    answer = await api.client.request(method, path, json={} if method == "POST" else None)
    await problem(answer, 401, "access.required")
    assert answer.headers["WWW-Authenticate"].startswith("Bearer ")
    others = [scope for scope in (Scope.READ, Scope.PROVISION) if scope is not endpoint.scope]
    weak = await api.testbed.token(*others)
    for secret, status, code in (
        ("birthmark_" + "A" * 43, 401, "access.denied"),
        ("x", 401, "access.denied"),
        (weak, 403, "access.scope-missing"),
    ):
        answer = await api.client.request(method, path, headers={"Authorization": f"Bearer {secret}"})
        await problem(answer, status, code)
    answer = await api.client.request(method, path, headers={"Authorization": "Basic YWRtaW46YWRtaW4="})
    await problem(answer, 401, "access.denied")


@pytest.mark.parametrize("endpoint", [e for e in ENDPOINTS if e.path in OPEN], ids=lambda endpoint: endpoint.name)
async def test_what_is_open_needs_none(api: Api, endpoint) -> None:  # type: ignore[no-untyped-def]
    answer = await api.client.request(endpoint.method, path_of(endpoint.path))
    assert answer.status in (200, 415)


def test_every_change_of_the_registry_is_closed() -> None:
    for endpoint in CLOSED:
        assert endpoint.scope in ((Scope.READ,) if endpoint.method == "GET" else (Scope.PROVISION, Scope.ADMIN))


async def test_a_revoked_token_is_good_for_nothing_from_then_on(api: Api) -> None:
    secret = await api.testbed.token(Scope.READ, name="short-lived")
    headers = {"Authorization": f"Bearer {secret}"}
    assert (await api.client.get(DEVICES, headers=headers)).status == 200
    async with api.testbed.database.write() as connection:
        await tokens.revoke(connection, "short-lived", int(time.time()))
    await problem(await api.client.get(DEVICES, headers=headers), 401, "access.denied")


async def signed_in(api: Api, *scopes: Scope) -> str:
    """The session's secret."""
    secret = await api.testbed.token(*scopes)
    answer = await api.client.post(
        "/login", data={"token": secret}, headers={"Sec-Fetch-Site": "same-origin"}, allow_redirects=False
    )
    assert answer.status == 303
    cookie = answer.cookies[COOKIE]
    assert cookie["httponly"]
    assert cookie["samesite"] == "Strict"
    assert secret not in cookie.value
    return str(cookie.value)


def cookie(secret: str, **headers: str) -> dict[str, str]:
    return {"Cookie": f"{COOKIE}={secret}", **{name.replace("_", "-"): value for name, value in headers.items()}}


async def test_an_operator_who_is_signed_in_may_what_the_token_may(api: Api) -> None:
    await api.provision("CAM-1")
    session = await signed_in(api, Scope.ADMIN)
    assert (await api.client.get(DEVICES, headers=cookie(session))).status == 200
    own = cookie(session, Sec_Fetch_Site="same-origin")
    answer = await api.client.post(f"{DEVICES}/CAM-1/revoke", json={"reason": "gone"}, headers=own)
    assert (await answer.json())["state"] == "revoked"
    reader = cookie(await signed_in(api, Scope.READ), Sec_Fetch_Site="same-origin")
    answer = await api.client.post(f"{DEVICES}/CAM-1/reinstate", json={"reason": "back"}, headers=reader)
    await problem(answer, 403, "access.scope-missing")


@pytest.mark.parametrize(
    "headers",
    [
        pytest.param({}, id="says_nothing"),
        pytest.param({"Sec-Fetch-Site": "cross-site"}, id="another_site"),
        pytest.param({"Sec-Fetch-Site": "same-site"}, id="another_port_of_this_machine"),
        pytest.param({"Origin": "https://evil.example"}, id="another_origin"),
        pytest.param({"Origin": "null"}, id="an_opaque_origin"),
    ],
)
async def test_a_page_of_another_site_cannot_have_an_operator_change_anything(
    api: Api, headers: dict[str, str]
) -> None:
    await api.provision("CAM-1")
    session = await signed_in(api, Scope.ADMIN)
    answer = await api.client.post(
        f"{DEVICES}/CAM-1/revoke", json={"reason": "gone"}, headers={**cookie(session), **headers}
    )
    await problem(answer, 403, "http.cross-site")
    assert (await (await api.get(f"{DEVICES}/CAM-1")).json())["state"] == "provisioned"
    for path in ("/login", "/logout"):
        answer = await api.client.post(path, data={"token": "x"}, headers={**cookie(session), **headers})
        await problem(answer, 403, "http.cross-site")


async def test_a_form_cannot_make_a_change(api: Api) -> None:
    session = cookie(await signed_in(api, Scope.ADMIN), Sec_Fetch_Site="same-origin")
    answer = await api.client.post(PROVISION, data={"device_serial": "CAM-1"}, headers=session)
    await problem(answer, 415, "http.unsupported-media-type")


async def test_signing_out_and_revoking_the_token_both_end_a_session(api: Api) -> None:
    session = await signed_in(api, Scope.READ)
    own = cookie(session, Sec_Fetch_Site="same-origin")
    assert (await api.client.post("/logout", headers=own, allow_redirects=False)).status == 303
    await problem(await api.client.get(DEVICES, headers=own), 401, "access.required")
    session = await signed_in(api, Scope.READ)
    async with api.testbed.database.write() as connection:
        for token in await tokens.list_all(connection):
            if token.revoked_at is None and token.scopes == {Scope.READ}:
                await tokens.revoke(connection, token.name, int(time.time()))
    await problem(await api.client.get(DEVICES, headers=cookie(session)), 401, "access.denied")


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


async def test_the_session_cookie_is_kept_to_https_behind_a_proxy(tmp_path: Path) -> None:
    async with opened(tmp_path, behind_proxy=True) as api:
        data = {"token": await api.testbed.token(Scope.READ)}
        headers = {"Sec-Fetch-Site": "same-origin"}
        answer = await api.client.post("/login", data=data, headers=headers, allow_redirects=False)
        assert answer.cookies[COOKIE]["secure"]


@pytest.mark.parametrize(
    ("access", "headers", "status"),
    [
        (MetricsAccess.OPEN, {"X-Forwarded-For": "192.0.2.1"}, 200),
        (MetricsAccess.LOOPBACK, {}, 200),
        (MetricsAccess.LOOPBACK, {"X-Forwarded-For": "192.0.2.1"}, 401),
        (MetricsAccess.TOKEN, {}, 401),
    ],
)
async def test_the_settings_say_who_reads_the_metrics(
    tmp_path: Path, access: MetricsAccess, headers: dict[str, str], status: int
) -> None:
    async with opened(tmp_path, StationConfig(web=WebConfig(metrics=access))) as api:
        assert (await api.client.get("/metrics", headers=headers)).status == status
        assert (await api.get("/metrics", headers=headers)).status == 200


# --- other origins ---


async def test_without_listed_origins_no_other_site_may_read_or_change(api: Api) -> None:
    origin = {"Origin": "https://app.example"}
    answer = await api.client.get("/health", headers=origin)
    assert not [name for name in answer.headers if name.startswith("Access-Control-")]
    ask = {**origin, "Access-Control-Request-Method": "POST"}
    assert (await api.client.options("/validate", headers=ask)).status == 405
    await problem(await api.client.post("/validate", json={}, headers=origin), 403, "http.cross-site")


async def test_a_listed_origin_may_call_with_a_token_but_never_with_a_cookie(tmp_path: Path) -> None:
    config = StationConfig(web=WebConfig(cors_origins=["https://app.example"]))
    async with opened(tmp_path, config) as api:
        origin = {"Origin": "https://app.example", "Sec-Fetch-Site": "cross-site"}
        ask = {**origin, "Access-Control-Request-Method": "POST"}
        answer = await api.client.options(PROVISION, headers=ask)
        assert answer.status == 204
        assert answer.headers["Access-Control-Allow-Origin"] == "https://app.example"
        assert "Access-Control-Allow-Credentials" not in answer.headers
        answer = await api.post(PROVISION, {"device_serial": "CAM-1"}, **origin)
        assert answer.status == 201
        assert answer.headers["Access-Control-Allow-Origin"] == "https://app.example"
        session = await signed_in(api, Scope.ADMIN)
        answer = await api.client.post(
            f"{DEVICES}/CAM-1/revoke", json={"reason": "x"}, headers={**cookie(session), **origin}
        )
        await problem(answer, 403, "http.cross-site")
        other = await api.client.get("/health", headers={"Origin": "https://app.example.evil"})
        assert "Access-Control-Allow-Origin" not in other.headers


async def test_listed_names_are_served_and_others_not(tmp_path: Path) -> None:
    async with opened(tmp_path, StationConfig(web=WebConfig(hosts=["Station-3.local"]))) as api:
        assert (await api.client.get("/health", headers={"Host": "station-3.local:8001"})).status == 200
        await problem(await api.client.get("/health", headers={"Host": "station-4.local"}), 421, "http.host-unknown")


# --- rates ---


async def test_a_client_that_sends_too_much_is_told_how_long_to_wait(tmp_path: Path) -> None:
    config = StationConfig(web=WebConfig(rates=RatesConfig(validation=0.5)))
    async with opened(tmp_path, config) as api:
        answers = [await api.client.post("/validate", json={}) for _ in range(7)]
        assert [answer.status for answer in answers[:5]] == [400] * 5
        told = await problem(answers[-1], 429, "http.too-many")
        assert 1 <= int(answers[-1].headers["Retry-After"]) <= 2
        assert told["detail"].startswith("Wait")
        assert (await api.client.get("/health")).status == 200


async def test_wrong_tokens_are_counted_by_themselves(tmp_path: Path) -> None:
    config = StationConfig(web=WebConfig(rates=RatesConfig(refused_credentials=0.1)))
    async with opened(tmp_path, config) as api:
        wrong = {"Authorization": "Bearer wrong"}
        assert (await api.client.get(DEVICES, headers=wrong)).status == 401
        await problem(await api.client.get(DEVICES, headers=wrong), 429, "http.too-many")
        own = {"Sec-Fetch-Site": "same-origin"}
        await problem(await api.client.post("/login", data={"token": "x"}, headers=own), 429, "http.too-many")
        assert (await api.get(DEVICES)).status == 200


async def test_behind_a_proxy_clients_are_told_apart_by_what_the_proxy_adds(tmp_path: Path) -> None:
    config = StationConfig(web=WebConfig(rates=RatesConfig(public=0.1)))
    async with opened(tmp_path, config, behind_proxy=True) as api:
        for address, status in (
            ("192.0.2.1", 200),
            ("192.0.2.2", 200),
            ("192.0.2.1", 429),
            ("9.9.9.9, 192.0.2.2", 429),
        ):
            answer = await api.client.get("/health", headers={"X-Forwarded-For": address})
            assert answer.status == status


async def test_a_unix_socket_is_a_proxys_and_no_other_client_is_believed(tmp_path: Path) -> None:
    config = StationConfig(web=WebConfig(rates=RatesConfig(public=0.1)))
    async with opened(tmp_path, config) as api:
        path = str(tmp_path / "proxy.sock")
        server = await asyncio.get_running_loop().create_unix_server(api.client.server.handler, path)
        async with server, ClientSession(connector=UnixConnector(path)) as proxy:
            for address, status in (("192.0.2.1", 200), ("192.0.2.2", 200), ("9.9.9.9, 192.0.2.1", 429)):
                answer = await proxy.get("http://localhost/health", headers={"X-Forwarded-For": address})
                assert answer.status == status
            form = {"token": await api.testbed.token(Scope.READ)}
            own = {"Sec-Fetch-Site": "same-origin"}
            answer = await proxy.post("http://localhost/login", data=form, headers=own, allow_redirects=False)
            assert answer.cookies[COOKIE]["secure"]
            assert (await proxy.get("http://localhost/metrics")).status == 401
        for address, status in (("192.0.2.3", 200), ("192.0.2.4", 429)):
            answer = await api.client.get("/health", headers={"X-Forwarded-For": address})
            assert answer.status == status


@pytest.mark.parametrize(
    ("came_in_at", "named", "own"),
    [
        (("192.0.2.1", 443), "192.0.2.1", True),
        (("::ffff:192.0.2.1", 443, 0, 0), "192.0.2.1", True),
        (("2001:db8::1", 443, 0, 0), "2001:db8:0::1", True),
        (("::ffff:192.0.2.1", 443, 0, 0), "192.0.2.2", False),
        (("192.0.2.1", 443), "sma.example.org", False),
        ("/run/birthmark-station.sock", "/run/birthmark-station.sock", False),
        (None, "", False),
    ],
)
def test_a_station_goes_by_the_address_a_request_came_in_at(came_in_at: object, named: str, own: bool) -> None:
    transport = Mock()
    transport.get_extra_info.side_effect = {"sockname": came_in_at}.get
    assert is_own_address(make_mocked_request("GET", "/", transport=transport), named) is own
