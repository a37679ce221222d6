"""A request that is not HTTP gets a problem document that does not quote it; one that breaks off gets nothing."""

from __future__ import annotations

import asyncio
import json
import logging
import tomllib
from collections.abc import Callable
from importlib import metadata

import pytest
from aiohttp import web

from station.web.app import create_runner
from tests.harness.api_client import Api
from tests.harness.checkout import ROOT
from tests.harness.page_testbed import PageTestbed
from virtual.timeouts import TIMEOUT_SECONDS

SECRET = "5ec4e7" * 10 + "5ec4"


@pytest.mark.parametrize(
    "sent",
    [
        b"BREW /crl HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"GET /crl HTTP/9.7\r\nHost: localhost\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
        b"GET /crl HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer %s\x00\r\n\r\n" % SECRET.encode(),
        b"GET /crl HTTP/1.1\r\nHost: localhost\r\nX: %s\r\n\r\n" % (SECRET.encode() * 500),
        b"POST /validate HTTP/1.1\r\nHost: localhost\r\nContent-Length: -%s\r\n\r\n" % SECRET.encode(),
    ],
    ids=["unknown_method", "unknown_version", "tls", "nul_in_a_header", "header_too_long", "length_negative"],
)
async def test_a_request_that_is_not_http_is_neither_quoted_nor_logged(
    api: Api, sent: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    reader, writer = await asyncio.open_connection("127.0.0.1", api.client.port)
    writer.write(sent)
    async with asyncio.timeout(TIMEOUT_SECONDS):
        answer = await reader.read()
    writer.close()
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith((b"HTTP/1.1 400 ", b"HTTP/1.0 400 "))
    assert b"Content-Security-Policy: default-src 'none'" in head
    assert json.loads(body)["code"] == "http.malformed"
    assert SECRET.encode() not in answer
    assert not caplog.records


@pytest.mark.attack("hangs up in the middle of a request, to fill the log")
async def test_a_client_that_hangs_up_leaves_nothing_in_the_log(
    testbed: PageTestbed, caplog: pytest.LogCaptureFixture, got: Callable[[str], None]
) -> None:
    caplog.set_level(logging.WARNING)
    runner = create_runner(testbed.app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    for _ in range(20):
        _, writer = await asyncio.open_connection(*runner.addresses[0])
        writer.write(b"POST /validate HTTP/1.1\r\nHost: localhost\r\n")
        writer.write(b"Content-Type: application/json\r\nContent-Length: 100\r\n\r\n{")
        await writer.drain()
        await asyncio.sleep(0.02)
        writer.transport.abort()
        await asyncio.sleep(0.02)
    await runner.cleanup()
    assert not caplog.records
    got(f"{len(caplog.records)} lines of log for 20 requests")


def test_only_the_minor_version_of_aiohttp_that_this_test_runs_with_is_allowed() -> None:
    major, minor = map(int, metadata.version("aiohttp").split(".")[:2])
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    allowed = [name for name in project["optional-dependencies"]["station"] if name.startswith("aiohttp>")]
    assert allowed == [f"aiohttp>={major}.{minor},<{major}.{minor + 1}"]
