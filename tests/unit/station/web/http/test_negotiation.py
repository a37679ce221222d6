"""The media type of an answer, by the Accept header."""

from __future__ import annotations

import pytest
from aiohttp.test_utils import make_mocked_request

from station.web.http.negotiation import asks_for_page, choose_media_type
from tests.harness.page_testbed import Client


@pytest.mark.parametrize(
    ("accept", "media_type"),
    [
        ("*/*", "application/json"),
        ("", "application/json"),
        ("application/json, text/plain, */*", "application/json"),
        ("text/html,application/json;q=0.9", "text/html"),
        ("text/html,application/xhtml+xml,*/*;q=0.8", "text/html"),
    ],
)
async def test_only_whoever_asks_for_a_page_gets_it(client: Client, accept: str, media_type: str) -> None:
    assert (await client.get("/", headers={"Accept": accept})).content_type == media_type


@pytest.mark.parametrize(
    ("accept", "page"),
    [
        (None, False),
        ("application/json", False),
        ("application/*", False),
        ("text/html,application/xhtml+xml,*/*;q=0.8", True),
        ("text/html, application/xhtml+xml, image/jxr, */*", True),
        ("TEXT/HTML", True),
        ("text/html;q=0.5, application/json;q=0.6", False),
        ("text/html, application/json", True),
        ("text/html;q=0, */*;q=0", False),
        ("*/*, application/json;q=0", True),
        ("application/json;q=2", False),
        ("application/json;q=nan", False),
        (";;,q=1,/", False),
        ("x/y," * 2000 + "text/html", False),
    ],
)
def test_the_most_specific_range_and_its_weight_decide(accept: str | None, page: bool) -> None:
    request = make_mocked_request("GET", "/", {"Accept": accept} if accept is not None else {})
    assert asks_for_page(request) is page


@pytest.mark.parametrize(
    ("accept", "chosen"),
    [("*/*", "a/first"), ("a/second", "a/second"), ("a/first;q=0.1, a/*", "a/second"), ("b/c", "a/first")],
)
def test_the_first_offer_is_for_a_client_without_a_preference(accept: str, chosen: str) -> None:
    request = make_mocked_request("GET", "/", {"Accept": accept})
    assert choose_media_type(request, ("a/first", "a/second")) == chosen
