"""The media type of an answer, by the Accept header."""

from __future__ import annotations

import pytest
from aiohttp.test_utils import make_mocked_request

from station.web.http.negotiation import asks_for_json, asks_for_page, choose_media_type
from tests.harness.page_testbed import Client


@pytest.mark.parametrize(
    "accept", ["*/*", "text/html,application/json;q=0.9", "application/json;q=0, */*", "application/json;q=x,text/html"]
)
async def test_whoever_does_not_prefer_json_gets_the_page(client: Client, accept: str) -> None:
    assert (await client.get("/", headers={"Accept": accept})).content_type == "text/html"


@pytest.mark.parametrize(
    ("accept", "json", "page"),
    [
        (None, False, False),
        ("application/json", True, False),
        ("application/*", True, False),
        ("text/html,application/xhtml+xml,*/*;q=0.8", False, True),
        ("TEXT/HTML", False, True),
        ("text/html;q=0.5, application/json;q=0.6", True, False),
        ("*/*, application/json;q=0", False, True),
        ("application/json;q=2", False, False),
        ("application/json;q=nan", False, False),
        (";;,q=1,/", False, False),
        ("x/y," * 2000 + "text/html", False, False),
    ],
)
def test_the_most_specific_range_and_its_weight_decide(accept: str | None, json: bool, page: bool) -> None:
    request = make_mocked_request("GET", "/", {"Accept": accept} if accept is not None else {})
    assert (asks_for_json(request), asks_for_page(request)) == (json, page)


@pytest.mark.parametrize(
    ("accept", "chosen"),
    [("*/*", "a/first"), ("a/second", "a/second"), ("a/first;q=0.1, a/*", "a/second"), ("b/c", "a/first")],
)
def test_the_first_offer_is_for_a_client_without_a_preference(accept: str, chosen: str) -> None:
    request = make_mocked_request("GET", "/", {"Accept": accept})
    assert choose_media_type(request, ("a/first", "a/second")) == chosen
