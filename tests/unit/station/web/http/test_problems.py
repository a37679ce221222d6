"""Errors as answers: problem details for programs, a plain page for browsers."""

from __future__ import annotations

from shared.errors.catalogue import CATALOGUE
from station.web.http.problems import STATUS
from tests.harness.page_testbed import Client


async def test_programs_get_problem_details(client: Client) -> None:
    answer = await client.get("/nowhere")
    assert answer.content_type == "application/problem+json"
    body = await answer.json(content_type=None)
    assert body["type"] == "urn:birthmark:fault:http.no-such-page"
    assert body["status"] == 404
    assert body["title"] == "There is nothing at that address."
    assert body["advice"]


async def test_browsers_get_a_plain_page(client: Client) -> None:
    answer = await client.get("/<b>nowhere", headers={"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"})
    assert answer.status == 404
    assert answer.content_type == "text/html"
    body = await answer.text()
    assert "There is nothing at that address." in body
    assert "<b>" not in body


def test_every_error_with_a_status_is_in_the_catalogue() -> None:
    assert STATUS.keys() <= CATALOGUE.keys()
