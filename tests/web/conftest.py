"""`served`: a station's page that listens; `browser`: a real Chromium; `seen`: a page of it.

Without a Chromium (`virtual/browser.py`) these tests fail; they are not skipped.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from playwright.async_api import Browser, ConsoleMessage, ViewportSize, expect

from tests.harness.page_testbed import open_page_testbed
from tests.harness.served_page import Seen, Served
from virtual.browser import chromium
from virtual.timeouts import TIMEOUT_SECONDS

expect.set_options(timeout=TIMEOUT_SECONDS * 1000)

DESKTOP: ViewportSize = {"width": 1280, "height": 900}


@pytest.fixture
async def served(tmp_path: Path) -> AsyncIterator[Served]:
    async with open_page_testbed(tmp_path) as made:
        station = Served(made)
        await station.start()
        yield station
        await station.stop()


@pytest.fixture
async def browser() -> AsyncIterator[Browser]:
    async with chromium() as started:
        yield started


@pytest.fixture
async def seen(browser: Browser) -> AsyncIterator[Seen]:
    context = await browser.new_context(viewport=DESKTOP)
    context.set_default_timeout(TIMEOUT_SECONDS * 1000)
    made = Seen(await context.new_page())
    made.page.on("console", lambda message: made.console.append(_line(message)))
    made.page.on("pageerror", lambda error: made.console.append(f"error: {error}"))
    yield made
    await context.close()


def _line(message: ConsoleMessage) -> str:
    return f"{message.type}: {message.text}"
