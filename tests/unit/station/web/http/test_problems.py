"""Errors as answers: problem details for programs, a plain page for browsers."""

from __future__ import annotations

import pytest

from shared.errors import BirthmarkError, ErrorCode
from shared.errors.catalogue import CATALOGUE
from station.provisioning.offline import FIELD_OF
from station.web.http.problems import STATUS, InvalidFieldError, TooManyError, headers_of, problem_of
from tests.harness.page_testbed import Client


async def test_programs_get_problem_details(client: Client) -> None:
    answer = await client.get("/nowhere")
    assert answer.content_type == "application/problem+json"
    body = await answer.json(content_type=None)
    assert body["type"] == "urn:birthmark:error:http.no-such-page"
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


@pytest.mark.parametrize("code", FIELD_OF)
def test_an_error_that_names_a_field_of_the_request_is_no_bug_of_ours(code: ErrorCode) -> None:
    assert problem_of(BirthmarkError(code)).status < 500


def test_only_errors_about_the_request_itself_have_a_detail() -> None:
    inside = problem_of(BirthmarkError("registry.unavailable", "/var/lib/secret/path"))
    assert "secret" not in str(inside)
    assert inside.status == 503
    request = problem_of(BirthmarkError("http.malformed", "it is no JSON"))
    assert (request.status, request.detail) == (400, "It is no JSON.")


def test_an_error_without_a_status_is_a_bug() -> None:
    assert problem_of(BirthmarkError("data.missing")).status == 500


def test_a_wrong_field_is_named_with_its_limit() -> None:
    problem = problem_of(InvalidFieldError("http.field-invalid", "key_index", "at most 999"))
    assert (problem.field, problem.limit, problem.detail) == ("key_index", "at most 999", "In key_index: at most 999.")


@pytest.mark.parametrize(
    ("error", "headers"),
    [
        (TooManyError(0.1), {"Retry-After": "1"}),
        (TooManyError(2.1), {"Retry-After": "3"}),
        (BirthmarkError("access.required"), {"WWW-Authenticate": 'Bearer realm="birthmark-station"'}),
        (
            BirthmarkError("access.denied"),
            {"WWW-Authenticate": 'Bearer realm="birthmark-station", error="invalid_token"'},
        ),
        (BirthmarkError("access.scope-missing"), {}),
    ],
)
def test_an_answer_says_in_its_headers_when_or_with_what_to_come_back(
    error: BirthmarkError, headers: dict[str, str]
) -> None:
    assert headers_of(error) == headers
