"""Other sites may neither change anything nor read, unless their origin is listed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from station.config import StationConfig, WebConfig
from station.registry.tokens import Scope
from tests.harness.api_client import DEVICES, PROVISION, Api, opened, problem, session_headers


@pytest.mark.parametrize(
    "headers",
    [
        pytest.param({}, id="says_nothing"),
        pytest.param({"Sec-Fetch-Site": "cross-site"}, id="another_site"),
        pytest.param({"Sec-Fetch-Site": "same-site"}, id="another_port_of_this_machine"),
        pytest.param({"Origin": "https://evil.example"}, id="another_origin"),
        pytest.param({"Origin": "null"}, id="an_opaque_origin"),
        pytest.param({"Origin": "https://{host}"}, id="another_scheme"),
        pytest.param({"Origin": "http://{host}1"}, id="another_port"),
        pytest.param({"Origin": "http://{host}", "Sec-Fetch-Site": "same-site"}, id="a_browser_knows_better"),
        pytest.param({"Sec-Fetch-Site": "none"}, id="nobodys_page"),
    ],
)
async def test_a_page_of_another_site_cannot_have_an_operator_change_anything(
    api: Api, headers: dict[str, str]
) -> None:
    headers = {name: value.format(host=f"127.0.0.1:{api.client.port}") for name, value in headers.items()}
    await api.provision("CAM-1")
    session = await api.sign_in(Scope.ADMIN)
    answer = await api.client.post(
        f"{DEVICES}/CAM-1/revoke", json={"reason": "gone"}, headers={**session_headers(session), **headers}
    )
    await problem(answer, 403, "http.cross-site")
    assert (await (await api.get(f"{DEVICES}/CAM-1")).json())["state"] == "provisioned"
    for path in ("/login", "/logout", "/open"):
        answer = await api.client.post(path, data={"token": "x"}, headers={**session_headers(session), **headers})
        await problem(answer, 403, "http.cross-site")


@pytest.mark.attack("a page of the station's name, loaded by another scheme, has the operator's browser make a change")
async def test_the_own_origin_is_scheme_host_and_port(tmp_path: Path, got: Callable[[str], None]) -> None:
    told = []
    for behind_proxy, scheme in ((False, "https"), (True, "http")):
        (folder := tmp_path / scheme).mkdir()
        async with opened(folder, behind_proxy=behind_proxy) as api:
            await api.provision("CAM-1")
            session = session_headers(await api.sign_in(Scope.ADMIN))
            own = {"https": "http", "http": "https"}[scheme]
            for origin, status in ((scheme, 403), (own, 200)):
                headers = {**session, "Origin": f"{origin}://127.0.0.1:{api.client.port}"}
                answer = await api.client.post(f"{DEVICES}/CAM-1/revoke", json={"reason": "x"}, headers=headers)
                assert answer.status == status
                told += [f"{origin}: {(await answer.json())['code']}"] if status == 403 else []
    got(", ".join(told))


async def test_a_form_of_our_own_is_ours_even_when_its_origin_is_hidden(api: Api) -> None:
    """Chromium says `Origin: null` under the policy `no-referrer`, and Sec-Fetch-Site all the same."""
    headers = {"Origin": "null", "Sec-Fetch-Site": "same-origin"}
    data = {"token": await api.testbed.token(Scope.READ)}
    answer = await api.client.post("/login", data=data, headers=headers, allow_redirects=False)
    assert answer.status == 303


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
        session = await api.sign_in(Scope.ADMIN)
        answer = await api.client.post(
            f"{DEVICES}/CAM-1/revoke", json={"reason": "x"}, headers={**session_headers(session), **origin}
        )
        await problem(answer, 403, "http.cross-site")
        other = await api.client.get("/health", headers={"Origin": "https://app.example.evil"})
        assert "Access-Control-Allow-Origin" not in other.headers
