"""The page in a real Chromium, as an operator sees it: it updates without a reload, and never runs a device's text."""

from __future__ import annotations

import asyncio

import pytest
from playwright.async_api import Browser, ViewportSize, expect

from station.events import PortChanged, PortGone, PortState
from station.web import app_keys
from station.web.pages import overview as page
from tests.harness.page_testbed import MARKUP
from tests.harness.served_page import DESKTOP, Seen, Served
from virtual.timeouts import TIMEOUT_SECONDS

PORT = "/dev/ttyACM0"
PHONE: ViewportSize = {"width": 390, "height": 844}


async def test_a_unit_appears_without_a_reload(served: Served, seen: Seen) -> None:
    await seen.open(served)
    await seen.mark()
    await expect(seen.page.locator("#units")).to_contain_text("No unit has been provisioned yet.")
    await served.testbed.provision("10000000a3f29c41")
    await expect(seen.page.locator("tbody tr")).to_contain_text("10000000a3f29c41")
    await expect(seen.page.locator("#counts")).to_have_text("1 provisioned")
    assert await seen.unreloaded()
    assert seen.console == []


async def test_a_session_is_followed_step_by_step_and_announced(served: Served, seen: Seen) -> None:
    await seen.open(served)
    await seen.mark()
    card = seen.page.locator(".port")
    for step in range(1, 7):
        served.testbed.station.bus.tell(PortChanged(PORT, PortState.WORKING, step, "serial-1", "Pi", "Going on"))
        await expect(card.locator(".step")).to_have_text(f"Step {step} of 6")
        await expect(card.get_by_role("progressbar")).to_have_attribute("aria-valuenow", str(step))
    await expect(seen.page).to_have_title("1 working · Bench 3 · Birthmark station")
    served.testbed.station.bus.tell(PortChanged(PORT, PortState.DONE, 6, "serial-1", "Pi", "Provisioned"))
    await expect(card.locator(".state")).to_have_text("Done")
    await expect(seen.page.get_by_role("status")).to_have_text("serial-1: Done. Provisioned")
    served.testbed.station.bus.tell(PortGone(PORT))
    await expect(card).to_have_count(0)
    assert await seen.unreloaded()
    assert seen.console == []


async def test_a_devices_text_runs_nothing_in_the_page(served: Served, seen: Seen) -> None:
    served.testbed.station.bus.tell(PortChanged(PORT, PortState.FAILED, 2, MARKUP, MARKUP, MARKUP, MARKUP))
    await seen.open(served)
    await expect(seen.page.locator(".port h3")).to_have_text(MARKUP)
    await served.testbed.provision(MARKUP, model=MARKUP, ek_trust="unverified", ek_reason=MARKUP)
    served.testbed.station.bus.tell(PortChanged(PORT + MARKUP, PortState.DONE, 6, MARKUP, MARKUP, MARKUP))
    await expect(seen.page.locator("tbody .serial")).to_have_text(MARKUP)
    await expect(seen.page.locator(".port")).to_have_count(2)
    await expect(seen.page.get_by_role("status")).to_contain_text("<img")
    assert await seen.page.locator("img:not(.house img), main script, [onerror]").count() == 0
    assert "owned" not in await seen.page.title()
    assert seen.console == []


async def test_the_policy_stops_markup_that_got_in_all_the_same(served: Served, seen: Seen) -> None:
    """If escaping were ever forgotten, no script would run, and no string would become HTML without our function."""
    await seen.open(served)
    for attempt in (
        "document.body.innerHTML = '<p>'",
        "document.body.insertAdjacentHTML('beforeend', '<p>')",
        "document.createElement('img').setAttribute('onerror', 'document.title = 1')",
        "new DOMParser().parseFromString('<p>', 'text/html')",
        "trustedTypes.createPolicy('another', {})",
    ):
        refused = await seen.page.evaluate(f"() => {{ try {{ {attempt}; }} catch (error) {{ return error.name; }} }}")
        assert refused == "TypeError", attempt
    seen.console.clear()
    await seen.page.evaluate(
        """() => new Promise((resolve) => {
          const image = new Image();
          image.addEventListener("error", resolve);
          image.src = "https://example.invalid/x.png";
        })"""
    )
    assert any("Content Security Policy" in line for line in seen.console)


async def test_a_lost_connection_is_shown_and_restored(served: Served, seen: Seen) -> None:
    await seen.open(served)
    await expect(seen.page.locator("#lost")).to_be_hidden()
    await served.stop(keep_sessions=True)
    await expect(seen.page.get_by_role("alert")).to_contain_text("Connection to the station lost")
    await served.testbed.provision("while-away")
    await served.start()
    await expect(seen.page.locator("tbody tr")).to_contain_text("while-away")
    await expect(seen.page.locator("#lost")).to_be_hidden()


async def test_a_stream_that_falls_silent_is_a_lost_connection(served: Served, seen: Seen) -> None:
    """A network cable that is unplugged ends no connection: only the missing pulse shows it."""
    await seen.page.clock.install()
    await seen.open(served)
    await expect(seen.page.locator("#lost")).to_be_hidden()
    await seen.page.route("**/events*", lambda route: asyncio.sleep(0))  # the second request never gets an answer
    await seen.page.clock.fast_forward(26_000)
    await seen.page.clock.fast_forward(4_000)
    await expect(seen.page.get_by_role("alert")).to_contain_text("Connection to the station lost")


async def test_a_page_of_an_older_version_loads_itself_anew(served: Served, seen: Seen) -> None:
    await seen.open(served)
    await seen.mark()
    await served.stop(keep_sessions=True)
    served.testbed.app[app_keys.ASSET_VERSION] = "another"
    await served.start()
    await expect(seen.page.locator("html")).not_to_have_attribute("data-mark", "here")


async def test_after_a_restart_the_page_tells_how_to_open_it_again(served: Served, seen: Seen) -> None:
    await seen.open(served)
    await served.stop()
    await served.start()
    await expect(seen.page.get_by_role("main")).to_contain_text("sudo birthmark-station open")
    await seen.open(served)


async def test_an_update_does_not_disturb_the_operator(served: Served, seen: Seen) -> None:
    await served.testbed.provision("unit-1")
    await seen.open(served)
    search = seen.page.get_by_role("searchbox", name="Serial number")
    await search.focus()
    await search.type("uni")
    await served.testbed.provision("unit-2")
    await expect(seen.page.locator("tbody tr")).to_have_count(2)
    await expect(search).to_be_focused()
    await search.type("t-2\n")
    await expect(seen.page.locator("tbody tr")).to_have_count(1)
    await served.testbed.provision("unit-22")
    await served.testbed.provision("unit-3")
    await expect(seen.page.locator("tbody .serial")).to_have_text(["unit-22", "unit-2"])


async def test_the_page_is_complete_without_javascript(served: Served, browser: Browser) -> None:
    for number in range(page.UNITS_PER_PAGE + 1):
        await served.testbed.provision(f"unit-{number}")
    served.testbed.station.bus.tell(PortChanged(PORT, PortState.WORKING, 4, "serial-4"))
    context = await browser.new_context(java_script_enabled=False)
    context.set_default_timeout(TIMEOUT_SECONDS * 1000)
    plain = await context.new_page()
    await plain.goto(f"{served.url}open")
    await plain.get_by_label("The link").fill(f"{served.url}open#{await served.testbed.link()}")
    await plain.get_by_role("button", name="Open the page").click()
    await expect(plain.locator(".step")).to_have_text("Step 4 of 6")
    await plain.get_by_role("link", name="Older").click()
    await expect(plain.locator("tbody .serial")).to_have_text(["unit-0"])
    await context.close()


@pytest.mark.parametrize("viewport", [DESKTOP, PHONE], ids=["desktop", "phone"])
async def test_the_longest_texts_do_not_widen_the_page(served: Served, seen: Seen, viewport: ViewportSize) -> None:
    long = "W" * 64
    await served.testbed.provision(long, model=long * 4, ek_trust="unverified", ek_reason=long * 8)
    served.testbed.station.bus.tell(PortChanged("/dev/" + long, PortState.FAILED, 3, long, long * 4, long * 8, long))
    await seen.page.set_viewport_size(viewport)
    await seen.open(served)
    assert await seen.page.evaluate("document.documentElement.scrollWidth") <= viewport["width"]


async def test_the_keyboard_reaches_everything(served: Served, seen: Seen) -> None:
    for number in range(page.UNITS_PER_PAGE + 1):
        await served.testbed.provision(f"unit-{number}")
    await seen.open(served)
    reached = []
    for _ in range(4):
        await seen.page.keyboard.press("Tab")
        reached.append(await seen.page.evaluate("document.activeElement.innerText || document.activeElement.id"))
    assert reached == ["Skip to the units", "search", "Search", "Older →"]
