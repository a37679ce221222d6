"""Every operation is closed to callers without its scope, and no endpoint answers otherwise than it declares."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest
from aiohttp import ClientPayloadError, ClientResponse, web
from aiohttp.test_utils import TestClient, TestServer

from station.config import StationConfig
from station.registry.tokens import Scope
from station.web.endpoint import JSON, Answer, Endpoint, Reply
from station.web.enforcement import NDJSON, enforced
from station.web.routes import ENDPOINTS
from tests.harness.api_client import Api, opened, problem
from tests.harness.page_testbed import Client, open_page_testbed

ALL_CLOSED = StationConfig()
"""Settings that open nothing to a caller without a token."""

OPERATIONS = [
    (endpoint, method)
    for endpoint in ENDPOINTS
    for method in (("GET", "HEAD") if endpoint.method == "GET" else (endpoint.method,))
]
every_operation = pytest.mark.parametrize(
    ("endpoint", "method"), OPERATIONS, ids=[f"{method}-{endpoint.path}" for endpoint, method in OPERATIONS]
)


@pytest.fixture
async def closed(tmp_path: Path) -> AsyncIterator[Api]:
    async with opened(tmp_path, ALL_CLOSED) as made:
        yield made


async def ask(api: Api, endpoint: Endpoint, method: str, credentials: str = "") -> ClientResponse:
    """Send a browser's request whose query and body are not as declared."""
    return await api.client.request(
        method,
        endpoint.path.replace("{serial}", "CAM-1"),
        params={"no-such-parameter": "1"} if endpoint.query else None,
        data=b"no JSON" if endpoint.bodies else None,
        headers={"Accept": "text/html", **({"Authorization": credentials} if credentials else {})},
        allow_redirects=False,
    )


@every_operation
async def test_a_caller_without_a_token_gets_only_what_is_declared_open(
    closed: Api, endpoint: Endpoint, method: str
) -> None:
    answer = await ask(closed, endpoint, method)
    if endpoint.scope is None:
        assert answer.status in (200, 400, 415)
    elif endpoint.sign_in:
        assert (answer.status, answer.headers["Location"]) == (303, "/login")
    else:
        assert answer.status == 401
        assert answer.headers["WWW-Authenticate"] == 'Bearer realm="birthmark-station"'


@every_operation
@pytest.mark.parametrize("credentials", ["Bearer birthmark_" + "A" * 43, "Bearer x", "Basic YWRtaW46YWRtaW4="])
async def test_a_caller_with_an_unknown_token_gets_only_what_is_declared_open(
    closed: Api, endpoint: Endpoint, method: str, credentials: str
) -> None:
    answer = await ask(closed, endpoint, method, credentials)
    if endpoint.scope is None:
        assert answer.status in (200, 400, 415)
    else:
        assert answer.status == 401
        assert 'error="invalid_token"' in answer.headers["WWW-Authenticate"]


@every_operation
async def test_a_token_needs_the_declared_scope_and_no_more(closed: Api, endpoint: Endpoint, method: str) -> None:
    others = [scope for scope in (Scope.READ, Scope.PROVISION) if scope is not endpoint.scope]
    wrong = await ask(closed, endpoint, method, f"Bearer {await closed.testbed.token(*others)}")
    assert (wrong.status == 403) == (endpoint.scope is not None)
    right = await ask(closed, endpoint, method, f"Bearer {await closed.testbed.token(endpoint.scope or Scope.READ)}")
    # The right scope comes as far as the request's other faults.
    assert right.status in (200, 400, 404, 415)


class Told(msgspec.Struct):
    word: str


class Other(msgspec.Struct):
    word: str


async def tell() -> Told:
    return Told("as declared")


async def tell_other() -> Other:
    return Other("undeclared")


async def tell_text() -> str:
    return "undeclared"


async def accept() -> Reply:
    return Reply(Told("undeclared"), 202, {"Location": "/"})


async def forget_location() -> Reply:
    return Reply(Told("undeclared"), 201)


async def answer_plainly() -> web.Response:
    return web.Response(text="undeclared")


async def redirect() -> web.Response:
    return web.Response(status=303, headers={"Location": "/undeclared"})


async def tell_two() -> AsyncGenerator[Told, None]:
    yield Told("one")
    yield Told("two")


async def tell_two_kinds() -> AsyncGenerator[Told | Other, None]:
    yield Told("one")
    yield Other("undeclared")


ANSWERS = (Answer(200, "Text.", {JSON: Told}), Answer(201, "Text.", {JSON: Told}, ("Location",)))
LINES = (Answer(200, "Text.", {NDJSON: Told}),)


@asynccontextmanager
async def serving(folder: Path, handler: Callable[..., Any], answers: tuple[Answer, ...]) -> AsyncIterator[Client]:
    endpoint = Endpoint("GET", "/under-test", handler, "tag", "Summary", answers)
    async with open_page_testbed(folder) as testbed:
        testbed.app.router.add_get(endpoint.path, enforced(endpoint))
        async with TestClient(TestServer(testbed.app)) as client:
            yield client


async def test_an_answer_as_declared_is_sent(tmp_path: Path) -> None:
    async with serving(tmp_path, tell, ANSWERS) as client:
        answer = await client.get("/under-test")
        assert (answer.status, answer.content_type, await answer.json()) == (200, JSON, {"word": "as declared"})


@pytest.mark.parametrize(
    "handler",
    [tell_other, tell_text, accept, forget_location, answer_plainly, redirect],
    ids=lambda made: made.__name__,
)
async def test_an_answer_that_is_not_as_declared_is_a_bug_and_is_not_sent(
    tmp_path: Path, handler: Callable[..., Any], caplog: pytest.LogCaptureFixture
) -> None:
    async with serving(tmp_path, handler, ANSWERS) as client:
        answer = await client.get("/under-test", allow_redirects=False)
        await problem(answer, 500, "http.internal")
        assert "undeclared" not in await answer.text()
    assert "a bug" in caplog.text


async def test_lines_are_sent_one_after_another(tmp_path: Path) -> None:
    async with serving(tmp_path, tell_two, LINES) as client:
        answer = await client.get("/under-test")
        assert (answer.status, answer.content_type) == (200, NDJSON)
        assert await answer.text() == '{"word":"one"}\n{"word":"two"}\n'


async def test_a_line_that_is_not_as_declared_breaks_the_answer_off(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with serving(tmp_path, tell_two_kinds, LINES) as client:
        answer = await client.get("/under-test")
        assert await answer.content.readline() == b'{"word":"one"}\n'
        with pytest.raises(ClientPayloadError):
            await answer.read()
    assert "a bug" in caplog.text
