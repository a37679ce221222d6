"""The middlewares: known hosts, headers, error answers, limits of time and size."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from shared.errors import BirthmarkError
from station.config import AuthorityConfig, RatesConfig, StationConfig, WebConfig
from station.web.endpoint import BODY_BYTES
from station.web.http import middleware
from tests.harness.api_client import DEVICES, PROVISION, Api, opened, problem
from tests.harness.page_testbed import Client, open_by_link, open_page_testbed

SECRET = "/var/lib/secret/path"


async def read_body(request: web.Request) -> web.Response:
    return web.Response(text=str(len(await request.read())))


async def bug(_request: web.Request) -> web.Response:
    raise ValueError(SECRET)


async def locked(_request: web.Request) -> web.Response:
    raise BirthmarkError("registry.unavailable", SECRET)


async def stuck(_request: web.Request) -> web.Response:
    await asyncio.Event().wait()
    raise AssertionError


@pytest.fixture
async def client(tmp_path: Path) -> AsyncIterator[Client]:
    config = StationConfig(authority=AuthorityConfig(public_url="https://sma.example.org:8443/base"))
    async with open_page_testbed(tmp_path, config=config) as made:
        made.app.router.add_post("/body", read_body)
        for path, handler in (("/bug", bug), ("/locked", locked), ("/stuck", stuck)):
            made.app.router.add_get(path, handler)
        async with TestClient(TestServer(made.app)) as client:
            await open_by_link(made, client)
            yield client


@pytest.mark.parametrize(
    "host",
    [
        "localhost:9",
        "LOCALHOST",
        "127.0.0.1:8001",
        "127.8.8.8",
        "[::1]:8001",
        "sma.example.org",
        "sma.example.org:8443",
    ],
)
async def test_the_stations_own_names_are_served(client: Client, host: str) -> None:
    assert (await client.get("/", headers={"Host": host})).status == 200


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "evil.example:8001",
        "localhost.evil.example",
        "192.0.2.1",
        "example.org",
        "[::1",
        "",
        "a@localhost.x",
    ],
)
@pytest.mark.parametrize("path", ["/", "/events", "/health", "/static/live.js", "/nowhere"])
async def test_another_name_is_refused_with_a_sentence(client: Client, host: str, path: str) -> None:
    answer = await client.get(path, headers={"Host": host})
    assert answer.status == 421
    body = await answer.json(content_type="application/problem+json")
    assert body["code"] == "http.host-unknown"
    assert "is not this station's" in body["title"]


@pytest.mark.parametrize(
    ("method", "path", "headers", "status"),
    [
        ("GET", "/", {}, 200),
        ("GET", "/", {"Accept": "application/json"}, 200),
        ("HEAD", "/", {}, 200),
        ("GET", "/health", {}, 200),
        ("GET", "/static/live.js", {}, 200),
        ("GET", "/events", {}, 200),
        ("GET", "/nowhere", {}, 404),
        ("GET", "/static/", {}, 404),
        ("GET", "/static/../app.py", {}, 404),
        ("GET", "/static/%2e%2e/app.py", {}, 404),
        ("GET", "/?cursor=x", {"Accept": "text/html"}, 400),
        ("POST", "/", {}, 405),
        ("OPTIONS", "/", {}, 405),
        ("GET", "/bug", {}, 500),
        ("GET", "/locked", {}, 503),
        ("GET", "/", {"Host": "evil.example"}, 421),
        ("GET", "/", {"Expect": "the unexpected"}, 417),
    ],
)
async def test_every_answer_has_the_strict_headers(
    client: Client, method: str, path: str, headers: dict[str, str], status: int
) -> None:
    async with client.request(method, path, headers=headers) as answer:
        assert answer.status == status
        for name, value in middleware.HEADERS.items():
            assert answer.headers.getall(name) == [value]
        assert answer.headers["Cache-Control"] in ("no-store", "no-cache")


def test_the_policy_of_the_page_allows_nothing_inline_and_nothing_from_elsewhere() -> None:
    policy = middleware.HEADERS["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'; ")
    assert "frame-ancestors 'none'" in policy
    for word in ("unsafe", "http", "*", "data:"):
        assert word not in policy


async def test_an_answer_to_a_wrong_method_names_the_allowed_ones(client: Client) -> None:
    answer = await client.delete("/health")
    assert answer.status == 405
    assert answer.headers["Allow"] == "GET,HEAD"


@pytest.mark.parametrize("accept", ["text/html", "application/json"])
@pytest.mark.parametrize(("path", "code"), [("/bug", "http.internal"), ("/locked", "registry.unavailable")])
async def test_an_internal_error_reveals_nothing(client: Client, path: str, code: str, accept: str) -> None:
    body = await (await client.get(path, headers={"Accept": accept})).text()
    assert code in body
    for inside in (SECRET, "Traceback", "ValueError", "File "):
        assert inside not in body


async def test_a_body_may_be_as_large_as_the_limit_and_no_larger(client: Client) -> None:
    assert (await client.post("/body", data=bytes(BODY_BYTES))).status == 200
    answer = await client.post("/body", data=bytes(BODY_BYTES + 1))
    assert answer.status == 413
    assert (await answer.json(content_type=None))["code"] == "http.too-large"


@pytest.mark.parametrize("path", ["/validate", "/nowhere", PROVISION, "/login"])
@pytest.mark.parametrize("coding", ["gzip", "deflate", "gzip, identity", "x"])
async def test_a_compressed_body_is_refused_unread(client: Client, path: str, coding: str) -> None:
    async with client.post(path, data=b"not even compressed", headers={"Content-Encoding": coding}) as answer:
        await problem(answer, 415, "http.compressed")
        assert answer.headers["Accept-Encoding"] == "identity"


async def test_a_body_may_be_said_to_be_as_it_is(client: Client) -> None:
    assert (await client.post("/body", data=b"plain", headers={"Content-Encoding": "identity"})).status == 200


@pytest.mark.parametrize(("sent", "closed"), [(b"{", True), (b"{}", False)])
async def test_an_answer_before_the_whole_body_ends_the_connection(client: Client, sent: bytes, closed: bool) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", client.port)
    writer.write(b"POST /nowhere HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n\r\n" + sent)
    head = await reader.readuntil(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 404")
    assert (b"Connection: close" in head) is closed
    writer.close()
    await writer.wait_closed()


async def test_a_request_that_gets_nowhere_is_ended(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(middleware, "REQUEST_SECONDS", 0.05)
    answer = await client.get("/stuck")
    assert answer.status == 503
    assert (await answer.json(content_type=None))["code"] == "http.too-slow"


async def test_listed_names_are_served_and_others_not(tmp_path: Path) -> None:
    async with opened(tmp_path, StationConfig(web=WebConfig(hosts=["Station-3.local"]))) as api:
        assert (await api.client.get("/health", headers={"Host": "station-3.local:8001"})).status == 200
        await problem(await api.client.get("/health", headers={"Host": "station-4.local"}), 421, "http.host-unknown")


async def test_a_client_that_sends_too_much_is_told_how_long_to_wait(tmp_path: Path) -> None:
    config = StationConfig(web=WebConfig(rates=RatesConfig(validation=0.5)))
    async with opened(tmp_path, config) as api:
        answers = [await api.client.post("/validate", json={}) for _ in range(7)]
        assert [answer.status for answer in answers[:5]] == [200] * 5
        told = await problem(answers[-1], 429, "http.too-many")
        assert 1 <= int(answers[-1].headers["Retry-After"]) <= 2
        assert told["detail"].startswith("Wait")
        assert (await api.client.get("/health")).status == 200


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("DELETE", DEVICES, "GET,HEAD"),
        ("PUT", "/validate", "POST"),
        ("GET", "/validate-cert", "POST"),
        ("GET", PROVISION, "POST"),
        ("PATCH", f"{DEVICES}/CAM-1", "GET,HEAD"),
        ("TRACE", "/health", "GET,HEAD"),
    ],
)
async def test_an_answer_to_an_unknown_method_names_the_allowed_ones(
    api: Api, method: str, path: str, allowed: str
) -> None:
    answer = await api.client.request(method, path, headers=api.bearer)
    await problem(answer, 405, "http.method-not-allowed")
    assert answer.headers["Allow"] == allowed
