"""The media type of an answer, by the Accept header."""

from __future__ import annotations

import pytest

from tests.harness.page_testbed import Client


@pytest.mark.parametrize(
    "accept", ["*/*", "text/html,application/json;q=0.9", "application/json;q=0, */*", "application/json;q=x,text/html"]
)
async def test_whoever_does_not_prefer_json_gets_the_page(client: Client, accept: str) -> None:
    assert (await client.get("/", headers={"Accept": accept})).content_type == "text/html"
