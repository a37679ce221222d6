"""`served`: a station's page that listens; `browser`: a real Chromium; `seen`: a page of it.

Without a Chromium (`virtual/browser.py`) these tests fail; they are not skipped.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from playwright.async_api import Browser

from tests.harness.page_testbed import open_page_testbed
from tests.harness.served_page import Seen, Served, new_page
from virtual.browser import chromium


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
    made = await new_page(browser)
    yield made
    await made.page.context.close()
