"""A station that containers ask in the clear, under a name of theirs: no other name, and nothing that takes a token.

An address of this machine that is not loopback stands for the container's.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import pytest
from aiohttp import ClientSession
from aiohttp.test_utils import TestServer

from station.config import PageAccess, RatesConfig, StationConfig, WebConfig
from station.registry.tokens import Scope
from station.web.routes import ENDPOINTS
from tests.harness.api_client import PROBLEM
from tests.harness.other_address import other_address
from tests.harness.page_testbed import PageTestbed, open_page_testbed

NAME: Final = "host.docker.internal"
JSON: Final = {"Content-Type": "application/json", "Accept": "application/json"}
OWN_PAGE: Final = {"Sec-Fetch-Site": "same-origin"}

Got = Callable[[str], None]


@asynccontextmanager
async def reached_from_a_container(folder: Path, web: WebConfig) -> AsyncIterator[tuple[PageTestbed, str, int]]:
    """Serve at an address that is not loopback, so that all who connect there are other machines."""
    address = other_address()
    async with (
        open_page_testbed(folder, config=StationConfig(web=web)) as made,
        TestServer(made.app, host=address) as server,
    ):
        assert server.port
        yield made, address, server.port


async def ask(address: str, port: int, request: str) -> int:
    """Send bytes as they are, and return the answer's status."""
    reader, writer = await asyncio.open_connection(address, port)
    writer.write(request.encode())
    status = int((await reader.readline()).split()[1])
    writer.close()
    await writer.wait_closed()
    return status


@pytest.mark.attack("a web page's own name resolves to a station that is also asked as host.docker.internal")
async def test_no_name_but_the_listed_one_is_answered(tmp_path: Path, got: Got) -> None:
    async with reached_from_a_container(tmp_path, WebConfig(hosts=[NAME])) as (_, address, port):

        async def get(target: str, *hosts: str) -> int:
            lines = [f"GET {target} HTTP/1.1", *(f"Host: {host}" for host in hosts), "Connection: close", "", ""]
            return await ask(address, port, "\r\n".join(lines))

        for host in (NAME, f"{NAME}:8001", f"{NAME}:9", "HOST.Docker.Internal:8001", address, f"{address}:{port}"):
            assert await get("/health", host) == 200, host
        assert await get(f"http://{NAME}:8001/health", NAME) == 200
        names = (
            "evil.example",
            "evil.example:8001",
            f"{NAME}.evil.example",
            f"evil.{NAME}",
            f"{NAME}.",
            f"{NAME}.:8001",
            "docker.internal",
            f"evil.example:8001#{NAME}",
            f"{NAME}, evil.example",
            f"{NAME}\tevil.example",
            "192.0.2.1",
            "",
        )
        refused = [await get("/health", name) for name in names]
        refused.append(await get("/health", NAME, "evil.example"))
        refused.append(await get("/health"))
        refused.append(await get("http://evil.example/health", NAME))
        refused.append(await get(f"http://{NAME}@evil.example/health", NAME))
        refused.append(await get(f"http://{NAME}/health", "evil.example"))
    assert set(refused) <= {400, 421}, refused
    got(f"{refused.count(421)} of {len(refused)} names refused with 421, {refused.count(400)} with 400")


@pytest.mark.attack("a container that may ask in the clear uses an operator's token and link that it has overheard")
async def test_nothing_that_takes_a_token_is_served_in_the_clear(tmp_path: Path, got: Got) -> None:
    web = WebConfig(hosts=[NAME], page=PageAccess.LOOPBACK)
    async with reached_from_a_container(tmp_path, web) as (made, address, port), ClientSession() as client:
        unit = await made.provision("10000000a3f29c41")
        token, link = await made.token(*Scope), await made.link()

        async def status(method: str, path: str, **headers: str) -> tuple[int, str]:
            sent = {**JSON, "Host": f"{NAME}:8001", **headers}
            async with client.request(
                method, f"http://{address}:{port}{path}", headers=sent, data=b"{}" if method == "POST" else None
            ) as answer:
                told = await answer.json() if answer.content_type == PROBLEM else {}
                return answer.status, told.get("code", "")

        closed = 0
        for endpoint in ENDPOINTS:
            path = endpoint.path.replace("{serial}", unit.serial)
            if endpoint.scope is None:
                assert (await status(endpoint.method, path))[1] != "http.in-the-clear", path
            elif endpoint.closed:
                for bearer in (token, "a wrong one"):
                    told = await status(endpoint.method, path, Authorization=f"Bearer {bearer}")
                    assert told == (403, "http.in-the-clear"), f"{path}: {told}: it does not say which token is right"
                closed += 1
        assert (await status("GET", "/", Accept="text/html, */*;q=0.1"))[0] == 403, "no loopback, so no page"
        assert (await status("GET", "/", Accept="text/html, */*;q=0.1", Host="localhost"))[0] == 403
        for path, form in (("/login", {"token": token}), ("/open", {"link": link}), ("/logout", {})):
            for method in ("GET", "POST"):
                if (method, path) == ("GET", "/logout"):
                    continue
                place = f"http://{address}:{port}{path}"
                async with client.request(method, place, data=form, headers=OWN_PAGE, allow_redirects=False) as answer:
                    assert answer.status == 403, path
                    assert not answer.cookies
        assert (await status("GET", "/events"))[0] == 403
        assert (await status("GET", "/"))[0] == 200, "which service this is"
        assert (await status("GET", "/static/style.css"))[0] == 200
        assert (await status("GET", "/nowhere")) == (404, "http.no-such-page")
    assert closed >= 8
    got(f"403 at each of {closed} endpoints, with the right token as with a wrong one; no page, no session")


@pytest.mark.attack("a container in the clear says that it asks for others, to be counted as them")
async def test_who_asks_in_the_clear_is_no_proxy(tmp_path: Path, got: Got) -> None:
    web = WebConfig(hosts=[NAME], rates=RatesConfig(public=0.1))
    async with reached_from_a_container(tmp_path, web) as (_, address, port), ClientSession() as client:
        statuses = []
        for number in range(4):
            forged = {"X-Forwarded-For": f"10.0.0.{number}", "Host": NAME}
            async with client.get(f"http://{address}:{port}/health", headers=forged) as answer:
                statuses.append(answer.status)
    assert statuses == [200, 429, 429, 429]
    got("one answer of 4 under four names: it is counted under its own address")
