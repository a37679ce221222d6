"""A station's web application: `testbed` and `client` for its page, opened by a link; `api` with an admin token."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp.test_utils import TestClient, TestServer

from tests.harness.api_client import Api, opened
from tests.harness.page_testbed import Client, PageTestbed, open_by_link, open_page_testbed


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[Api]:
    async with opened(tmp_path) as made:
        yield made


@pytest.fixture
async def testbed(tmp_path: Path) -> AsyncIterator[PageTestbed]:
    async with open_page_testbed(tmp_path) as made:
        yield made


@pytest.fixture
async def client(testbed: PageTestbed) -> AsyncIterator[Client]:
    async with TestClient(TestServer(testbed.app)) as made:
        await open_by_link(testbed, made)
        yield made
