"""The stream of events sends all regions first, then those that change, also to a slow listener."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from aiohttp import ClientError, ClientResponse, ClientSession, web

from station.config import PageAccess, StationConfig, WebConfig
from station.events import Lost, NoticeChanged, PortChanged, PortGone, PortState, Topic, UnitChanged
from station.registry import tokens
from station.registry.tokens import Scope
from station.web import app_keys
from station.web.pages import overview
from station.web.pages.listeners import LISTENERS_MAX, OF_ONE_CLIENT
from tests.harness.api_client import opened as api_opened
from tests.harness.api_client import session_headers
from tests.harness.page_testbed import MARKUP, Client, PageTestbed
from virtual.timeouts import TIMEOUT_SECONDS

PORT = "/dev/ttyACM0"


async def next_event(stream: ClientResponse) -> tuple[str, str]:
    """Return the name and data of the next event; skip comments."""
    name, lines = "", []
    async with asyncio.timeout(TIMEOUT_SECONDS):
        while True:
            line = (await stream.content.readline()).decode().rstrip("\r\n")
            field, _, value = line.partition(": ")
            if field == "event":
                name = value
            elif field == "data":
                lines.append(value)
            elif not line and name:
                return name, "\n".join(lines)
            assert not stream.content.at_eof()


async def opened(client: Client | ClientSession, address: str = "/events") -> ClientResponse:
    """Open a stream, and read its first four events."""
    stream = await client.get(address)
    assert stream.status == 200
    assert stream.content_type == "text/event-stream"
    assert [(await next_event(stream))[0] for _ in range(4)] == ["asset_version", "notices", "sessions", "units"]
    return stream


async def test_a_listener_first_gets_everything_as_it_is(testbed: PageTestbed, client: Client) -> None:
    testbed.station.bus.tell(PortChanged(PORT, PortState.WORKING, 2, "serial-2"))
    await testbed.provision("unit-1")
    stream = await client.get("/events")
    assert await next_event(stream) == ("asset_version", testbed.app[app_keys.ASSET_VERSION])
    assert await next_event(stream) == ("notices", "")
    name, data = await next_event(stream)
    assert name == "sessions"
    assert "serial-2" in data
    name, data = await next_event(stream)
    assert name == "units"
    assert "unit-1" in data


async def test_a_change_on_a_port_is_delivered(testbed: PageTestbed, client: Client) -> None:
    stream = await opened(client)
    testbed.station.bus.tell(PortChanged(PORT, PortState.WORKING, 3, "serial-3", note="Verifying"))
    name, data = await next_event(stream)
    assert name == "sessions"
    assert "serial-3" in data
    testbed.station.bus.tell(PortGone(PORT))
    name, data = await next_event(stream)
    assert name == "sessions"
    assert "Nothing is plugged in." in data


async def test_a_notice_is_delivered_and_taken_away(testbed: PageTestbed, client: Client) -> None:
    stream = await opened(client)
    for text in ("TPM vendors' certificates: <b>.pem: bad", ""):
        testbed.station.bus.tell(NoticeChanged(Topic.VENDORS, text))
        name, data = await next_event(stream)
        assert name == "notices"
        assert ("&lt;b&gt;.pem: bad" in data) is bool(text)
        assert (await next_event(stream))[0] == "sessions"


async def test_a_new_unit_is_delivered_to_the_pages_that_show_it(testbed: PageTestbed, client: Client) -> None:
    stream, searching = await opened(client), await opened(client, "/events?search=other")
    await testbed.provision("unit-7")
    name, data = await next_event(stream)
    assert (name, "unit-7" in data) == ("units", True)
    name, data = await next_event(searching)
    assert (name, "unit-7" in data) == ("units", False)


async def test_a_devices_names_are_escaped_in_the_stream_too(testbed: PageTestbed, client: Client) -> None:
    stream = await opened(client)
    testbed.station.bus.tell(PortChanged(MARKUP, PortState.FAILED, 1, MARKUP, MARKUP, MARKUP, MARKUP))
    name, data = await next_event(stream)
    assert name == "sessions"
    assert "&lt;img" in data
    assert "<img" not in data
    assert "<script" not in data


async def test_a_text_cannot_forge_an_event(testbed: PageTestbed, client: Client) -> None:
    stream = await opened(client)
    testbed.station.bus.tell(
        PortChanged(PORT, PortState.WORKING, 1, "x\r\n\r\nevent: asset_version\rdata: forged\n\n", note="y")
    )
    name, data = await next_event(stream)
    assert name == "sessions"
    assert "event: asset_version" in data


async def test_a_burst_is_sent_as_one(testbed: PageTestbed, client: Client) -> None:
    stream = await opened(client)
    for step in range(1, 7):
        testbed.station.bus.tell(PortChanged(PORT, PortState.WORKING, step, "serial"))
    _, data = await next_event(stream)
    assert "Step 6 of 6" in data


async def test_a_slow_listener_gets_everything_again(testbed: PageTestbed, client: Client) -> None:
    stream = await opened(client)
    await testbed.provision("unit-before")
    # More events at once than a listener's queue holds: the bus drops them and sends only Lost.
    with testbed.station.bus.listen() as witness:
        for number in range(1000):
            testbed.station.bus.tell(PortChanged(PORT, PortState.WORKING, 1 + number % 6, f"serial-{number}"))
        assert any(isinstance(witness.get_nowait(), Lost) for _ in range(witness.qsize()))
    names: dict[str, str] = {}
    while not {"sessions", "units"} <= set(names) or "serial-999" not in names["sessions"]:
        name, data = await next_event(stream)
        names[name] = data
    assert "unit-before" in names["units"]


async def test_an_idle_stream_sends_a_pulse(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(overview, "PULSE_SECONDS", 0.05)
    stream = await opened(client)
    assert await next_event(stream) == ("pulse", "")


async def test_a_listener_that_hangs_up_is_forgotten(
    testbed: PageTestbed, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(overview, "PULSE_SECONDS", 0.05)
    stream = await opened(client)
    assert len(testbed.app[app_keys.LISTENERS]) == 1
    stream.close()
    async with asyncio.timeout(TIMEOUT_SECONDS):
        while testbed.app[app_keys.LISTENERS]:  # noqa: ASYNC110 - nothing tells when
            await asyncio.sleep(0.02)


async def ended(stream: ClientResponse) -> None:
    """Wait for the end of a stream, however it comes."""
    async with asyncio.timeout(TIMEOUT_SECONDS):
        with suppress(ClientError):
            await stream.content.read()


@pytest.mark.attack("opens 64 streams of events, without a token")
async def test_whoever_sits_at_the_station_always_gets_the_page(tmp_path: Path, got: Callable[[str], None]) -> None:
    config = StationConfig(web=WebConfig(page=PageAccess.LOOPBACK))
    async with api_opened(tmp_path, config) as api:
        held = [await opened(api.client) for _ in range(LISTENERS_MAX)]
        mine = await opened(api.client)
        count = len(api.testbed.app[app_keys.LISTENERS])
        for stream in held[: -OF_ONE_CLIENT + 1]:
            await ended(stream)
        api.testbed.station.bus.tell(PortChanged(PORT, PortState.WORKING, 2, "serial-2"))
        name, data = await next_event(mine)
    assert (name, "serial-2" in data, count) == ("sessions", True, OF_ONE_CLIENT)
    got(f"{count - 1} streams of 64; the next page of the station opens and stays up to date")


@pytest.mark.attack("goes on listening to the page after its token was revoked")
async def test_a_stream_ends_with_its_token(tmp_path: Path, got: Callable[[str], None]) -> None:
    config = StationConfig(web=WebConfig(page=PageAccess.CLOSED))
    async with api_opened(tmp_path, config) as api:
        stream = await api.get("/events")
        assert [(await next_event(stream))[0] for _ in range(4)][-1] == "units"
        async with api.testbed.station.database.write() as connection:
            await tokens.revoke(connection, "for everything", api.testbed.now())
        api.testbed.station.bus.tell(PortChanged(PORT, PortState.WORKING, 2, "serial-2"))
        async with asyncio.timeout(TIMEOUT_SECONDS):
            rest = await stream.content.read()
    assert b"serial-2" not in rest
    got("the end of its stream, before anything else is sent")


async def test_a_stream_ends_with_its_session(tmp_path: Path) -> None:
    async with api_opened(tmp_path, StationConfig(web=WebConfig(page=PageAccess.CLOSED))) as api:
        secret = await api.sign_in(Scope.READ)
        stream = await api.client.get("/events", headers=session_headers(secret))
        assert [(await next_event(stream))[0] for _ in range(4)][-1] == "units"
        api.testbed.app[app_keys.SESSIONS].close(secret)
        api.testbed.station.bus.tell(PortChanged(PORT, PortState.WORKING, 2, "serial-2"))
        async with asyncio.timeout(TIMEOUT_SECONDS):
            assert b"serial-2" not in await stream.content.read()


async def test_a_stream_ends_after_its_time(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(overview, "PULSE_SECONDS", 0.05)
    monkeypatch.setattr(overview, "STREAM_SECONDS", 0.3)
    stream = await client.get("/events")
    async with asyncio.timeout(TIMEOUT_SECONDS):
        body = await stream.content.read()
    assert body.endswith(b"\r\n\r\n")


async def test_a_registry_that_fails_ends_the_stream_and_tells_nothing_of_it(
    testbed: PageTestbed, client: Client, tmp_path: Path
) -> None:
    stream = await opened(client)
    await testbed.station.database.close()
    (tmp_path / "registry.sqlite").write_bytes(b"not a database at all" * 1000)
    for suffix in ("-wal", "-shm"):
        (tmp_path / f"registry.sqlite{suffix}").unlink(missing_ok=True)
    testbed.station.bus.tell(UnitChanged("unit"))
    async with asyncio.timeout(TIMEOUT_SECONDS):
        assert await stream.content.read() == b""


async def test_a_station_that_stops_does_not_wait_for_its_pages(testbed: PageTestbed) -> None:
    runner = web.AppRunner(testbed.app, shutdown_timeout=600)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    bearer = {"Authorization": f"Bearer {await testbed.token(Scope.READ)}"}
    async with ClientSession(f"http://127.0.0.1:{runner.addresses[0][1]}", headers=bearer) as client:
        stream = await opened(client)
        async with asyncio.timeout(TIMEOUT_SECONDS):
            await runner.cleanup()
            assert await stream.content.read() == b""
