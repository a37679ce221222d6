"""Who cannot read the data directory does not get to the page: not by a proxy on the station, nor by its cookie."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiohttp import ClientSession, web
from aiohttp.test_utils import TestServer
from playwright.async_api import Request, expect

from station.registry.tokens import Scope
from tests.harness.page_testbed import open_page_testbed
from tests.harness.served_page import Seen, Served, new_page, sign_in
from virtual.browser import chromium

UNIT = "10000000a3f29c41"
REVOKE = f"api/v1/devices/{UNIT}/revoke"

Got = Callable[[str], None]


@asynccontextmanager
async def undeclared_nginx(station: str) -> AsyncIterator[str]:
    """A relay as `location / { proxy_pass STATION; }` makes one: Host is the station's, nothing names the client."""

    async def pass_on(request: web.Request) -> web.Response:
        headers = {name: value for name, value in request.headers.items() if name not in ("Host", "Connection")}
        async with (
            ClientSession() as client,
            client.request(
                request.method, f"{station}{request.path_qs}", headers=headers, allow_redirects=False
            ) as answer,
        ):
            if answer.content_type == "text/event-stream":
                return web.Response(text=(await answer.content.readany()).decode())
            return web.Response(status=answer.status, text=await answer.text())

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", pass_on)
    async with TestServer(app) as relay:
        yield str(relay.make_url("/"))


@pytest.mark.attack("a browser elsewhere opens the page through an nginx on the station that nobody declared")
async def test_an_undeclared_proxy_gets_nobody_to_the_page(tmp_path: Path, got: Got) -> None:
    async with open_page_testbed(tmp_path) as testbed, TestServer(testbed.app) as server:
        await testbed.provision(UNIT)
        async with undeclared_nginx(str(server.make_url("")).rstrip("/")) as address, ClientSession() as client:
            told = []
            for path in ("", "?search=1", "events"):
                async with client.get(f"{address}{path}", headers={"Accept": "text/html"}) as answer:
                    text = await answer.text()
                    assert UNIT not in text
                    assert answer.status in (303, 401)
                    told.append(f"/{path}: {answer.status}")
    got(", ".join(told))


@pytest.mark.attack("a program on another loopback port takes an admin's cookie from the browser, and revokes with it")
async def test_a_cookie_that_went_to_another_port_makes_no_change(tmp_path: Path, got: Got) -> None:
    stolen: set[str] = set()

    async def take(request: web.Request) -> web.Response:
        stolen.add(request.headers.get("Cookie", ""))
        return web.Response(text="<title>A tool on this machine</title>", content_type="text/html")

    thief = web.Application()
    thief.router.add_get("/", take)
    async with open_page_testbed(tmp_path) as testbed, TestServer(thief) as other, chromium() as browser:
        served, seen = Served(testbed), await new_page(browser)
        await served.start()
        try:
            await testbed.provision(UNIT)
            await sign_in(seen.page, served, Scope.ADMIN)
            await expect(seen.page.locator("footer")).to_contain_text("Signed in")
            await seen.page.goto(f"http://127.0.0.1:{other.port}/")
            [cookie] = stolen
            assert "birthmark-session=" in cookie, "browsers send a cookie to every port"
            reads, refused = await use(cookie, served)
            assert (await unit_state(served, cookie)) == "provisioned"
            await revoke_as_a_person(seen, served)
        finally:
            await served.stop()
    got(f"it reads the page ({reads}) until the session ends, an hour at most; its revocations: {refused}")


async def use(cookie: str, served: Served) -> tuple[int, str]:
    """Do all that a program does that has the cookie and says that it is the page. Returns what it reads, and why not.

    It looks for the page's key in everything that the cookie gets.
    """
    as_the_page = {"Cookie": cookie, "Sec-Fetch-Site": "same-origin", "Origin": served.url.rstrip("/")}
    found, codes = "", set()
    async with ClientSession() as client:
        for path in ("", "login", "open", "static/operator.js", "api/v1/devices", "stats"):
            async with client.get(f"{served.url}{path}", headers=as_the_page) as answer:
                assert answer.status == 200
                found += f"{dict(answer.headers)} {await answer.text()}"
        async with client.get(served.url, headers={**as_the_page, "Accept": "text/html"}) as answer:
            assert UNIT in await answer.text()
            reads = answer.status
        words = {word for word in found.replace('"', " ").replace("'", " ").split() if 20 < len(word) < 100}
        for key in ("", "0" * 64, *sorted(words)):
            header = {"Birthmark-Page-Key": key} if key else {}
            async with client.post(
                f"{served.url}{REVOKE}", json={"reason": "theft"}, headers={**as_the_page, **header}
            ) as answer:
                codes.add((await answer.json(content_type=None)).get("code", "done"))
    return reads, ", ".join(sorted(codes))


async def unit_state(served: Served, cookie: str) -> str:
    async with (
        ClientSession() as client,
        client.get(f"{served.url}api/v1/devices/{UNIT}", headers={"Cookie": cookie}) as answer,
    ):
        return str((await answer.json())["state"])


async def revoke_as_a_person(seen: Seen, served: Served) -> None:
    """The operator goes back to the page and makes the change that the thief could not."""
    await seen.page.goto(served.url)
    await seen.page.get_by_label("Serial number of the unit").fill(UNIT)
    await seen.page.get_by_label("Reason").fill("reported stolen")
    await seen.page.get_by_role("button", name="Revoke").click()
    await expect(seen.page.locator("tbody tr")).to_contain_text("Revoked reported stolen")


@pytest.mark.attack("who reads what a browser stores, sends and shows of the link looks for one that is still good")
async def test_a_browser_gives_the_link_to_nobody(tmp_path: Path, got: Got) -> None:
    async with open_page_testbed(tmp_path) as testbed, chromium() as browser:
        served, seen = Served(testbed), await new_page(browser)
        await served.start()
        try:
            link = await testbed.link()
            sent: list[Request] = []
            seen.page.on("request", lambda request: sent.append(request))
            await seen.page.goto(f"{served.url}open#{link}")
            await expect(seen.page.get_by_label("The link")).to_be_hidden()
            assert link not in seen.page.url
            assert link not in await seen.page.evaluate("JSON.stringify([document.referrer, history.state])")
            await seen.page.reload()
            await expect(seen.page.get_by_label("The link")).to_have_value("")
            await seen.page.goto(f"{served.url}open#{link}")
            await seen.page.get_by_role("button", name="Open the page").click()
            await expect(seen.page.locator("#live")).to_contain_text("Live")
            carried = [
                request
                for request in sent
                if link in f"{request.url.partition('#')[0]}{await request.all_headers()}{request.post_data or ''}"
            ]
            assert [(request.method, request.url) for request in carried] == [("POST", f"{served.url}open")]
            assert link not in f"{carried[0].url}{await carried[0].all_headers()}"
            for _ in range(2):
                await seen.page.go_back()
                assert link not in seen.page.url
        finally:
            await served.stop()
    got(f"nothing: of {len(sent)} requests one carried it, in its body, and used it up")
