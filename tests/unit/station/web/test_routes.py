"""The list of endpoints."""

from __future__ import annotations

from shared.types import RESERVED_SERIALS
from station.config import RatesConfig
from station.registry.tokens import Scope
from station.web.http.problems import STATUS
from station.web.routes import ENDPOINTS


def test_every_error_an_endpoint_names_has_a_status() -> None:
    assert {code for endpoint in ENDPOINTS for code in endpoint.codes} <= STATUS.keys()


def test_no_two_endpoints_have_the_same_name() -> None:
    names = [endpoint.name for endpoint in ENDPOINTS]
    assert len(set(names)) == len(names)


def test_changing_endpoints_document_size_and_origin_errors() -> None:
    for endpoint in ENDPOINTS:
        assert ("http.cross-site" in endpoint.codes) == (endpoint.method != "GET")
        assert ("http.too-large" in endpoint.codes) == bool(endpoint.bodies)


def test_every_example_of_a_closed_endpoint_sends_a_token_and_no_other_does() -> None:
    for endpoint in ENDPOINTS:
        assert ("Authorization: Bearer" in endpoint.curl) == endpoint.closed


def test_exactly_these_operations_are_open_to_all() -> None:
    assert {endpoint.path for endpoint in ENDPOINTS if endpoint.scope is None} == {
        "/api/v1/devices/provision-phase2",
        "/api/v1/validate/nuc",
        "/ca",
        "/crl",
        "/docs",
        "/health",
        "/openapi.json",
        "/ready",
        "/validate",
        "/validate-cert",
        "/validate-cert-legacy",
        "/validate-legacy",
    }


def test_only_page_and_metrics_can_be_opened_by_the_settings() -> None:
    assert {endpoint.path for endpoint in ENDPOINTS if endpoint.open_when is not None} == {"/"}


def test_every_change_of_the_registry_is_closed_to_readers() -> None:
    for endpoint in ENDPOINTS:
        if endpoint.scope is not None:
            assert (endpoint.scope is Scope.READ) == (endpoint.method == "GET")


def test_every_rate_is_one_of_the_settings() -> None:
    assert {endpoint.rate for endpoint in ENDPOINTS} <= set(RatesConfig.__struct_fields__)


def words_in_place_of(parameter: str) -> set[str]:
    """Words of other addresses that stand where the addresses of `ENDPOINTS` have a parameter."""
    parts = [endpoint.path.strip("/").split("/") for endpoint in ENDPOINTS]
    places = {tuple(path[: path.index(parameter)]) for path in parts if parameter in path}
    there = {path[len(place)] for path in parts for place in places if tuple(path[:-1])[: len(place)] == place}
    return there - {parameter}


def test_no_unit_can_have_the_name_of_an_address() -> None:
    assert words_in_place_of("{serial}") == RESERVED_SERIALS
