"""The stream of events sends all regions first, then those that change, also to a slow listener."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from aiohttp import ClientResponse, ClientSession, web

from station.events import Lost, NoticeChanged, PortChanged, PortGone, PortState, Topic, UnitChanged
from station.registry.tokens import Scope
from station.web import app_keys
from station.web.pages import overview
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


async def test_there_is_room_for_so_many_listeners_and_a_sentence_for_the_next(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(overview, "LISTENERS_MAX", 2)
    _kept = [await opened(client), await opened(client)]
    answer = await client.get("/events")
    assert answer.status == 503
    assert (await answer.json(content_type=None))["code"] == "http.too-many-listeners"


async def test_a_listener_that_hangs_up_is_forgotten(
    testbed: PageTestbed, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(overview, "PULSE_SECONDS", 0.05)
    stream = await opened(client)
    assert len(testbed.app[app_keys.STREAMS]) == 1
    stream.close()
    async with asyncio.timeout(TIMEOUT_SECONDS):
        while testbed.app[app_keys.STREAMS]:  # noqa: ASYNC110 - nothing tells when
            await asyncio.sleep(0.02)


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
