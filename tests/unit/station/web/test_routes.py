"""The list of endpoints."""

from __future__ import annotations

from station.config import RatesConfig
from station.web.http.problems import STATUS
from station.web.routes import ENDPOINTS


def test_every_error_an_endpoint_names_has_a_status() -> None:
    assert {code for endpoint in ENDPOINTS for code in endpoint.errors} <= STATUS.keys()


def test_no_two_endpoints_have_the_same_name() -> None:
    names = [endpoint.name for endpoint in ENDPOINTS]
    assert len(set(names)) == len(names)


def test_changing_endpoints_document_size_and_origin_errors() -> None:
    for endpoint in ENDPOINTS:
        assert ({"http.too-large", "http.cross-site"} <= set(endpoint.errors)) == (endpoint.method == "POST")


def test_every_example_of_a_closed_endpoint_sends_a_token_and_no_other_does() -> None:
    for endpoint in ENDPOINTS:
        assert ("Authorization: Bearer" in endpoint.curl) == (endpoint.scope is not None)


def test_every_rate_is_one_of_the_settings() -> None:
    assert {endpoint.rate for endpoint in ENDPOINTS} <= set(RatesConfig.__struct_fields__)
