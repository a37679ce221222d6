"""What an endpoint's declaration says, and which contradictions it refuses."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from aiohttp import web

from station.registry.tokens import Scope
from station.web.auth.access import Caller
from station.web.endpoint import BODY_BYTES, Endpoint


class Asked(msgspec.Struct):
    name: str


class Other(msgspec.Struct):
    number: int


async def handle(request: web.Request) -> web.Response:
    raise NotImplementedError


async def change(caller: Caller, query: Asked, body: Asked) -> Asked:
    raise NotImplementedError


async def look(serial: str) -> Asked:
    raise NotImplementedError


async def guess(name: str) -> Asked:
    raise NotImplementedError


@pytest.mark.parametrize(
    ("method", "path", "name"),
    [
        ("GET", "/", "get_root"),
        ("GET", "/openapi.json", "get_openapi_json"),
        ("POST", "/api/v1/devices/{serial}/revoke", "post_api_v1_devices_serial_revoke"),
        ("POST", "/validate-cert", "post_validate_cert"),
    ],
)
def test_the_name_is_of_the_method_and_the_path(method: str, path: str, name: str) -> None:
    endpoint = Endpoint(method, path, handle, "tag", "Summary", ())
    assert endpoint.name == name


def test_an_endpoint_that_says_nothing_else_is_open_and_public() -> None:
    endpoint = Endpoint("GET", "/", handle, "tag", "Summary", ())
    assert (endpoint.scope, endpoint.closed, endpoint.rate, endpoint.errors) == (None, False, "public", ())
    assert (endpoint.query, endpoint.bodies, endpoint.body_bytes, endpoint.codes) == (None, (), BODY_BYTES, frozenset())


def test_query_and_body_are_what_the_handler_takes_and_bring_their_errors() -> None:
    endpoint = Endpoint("POST", "/", change, "tag", "Summary", (), ("registry.serial-taken",), scope=Scope.ADMIN)
    assert (endpoint.query, endpoint.bodies, endpoint.closed) == (Asked, (Asked,), True)
    assert endpoint.codes == {
        "access.denied",
        "access.page-key-missing",
        "access.required",
        "access.scope-missing",
        "http.cross-site",
        "http.field-invalid",
        "http.in-the-clear",
        "http.malformed",
        "http.parameter-invalid",
        "http.too-large",
        "http.too-slow",
        "http.unsupported-media-type",
        "registry.serial-taken",
    }


async def take_either(body: Asked | Other) -> Asked:
    raise NotImplementedError


def test_a_body_may_be_one_of_several_and_an_answer_to_what_does_not_fit_takes_the_place_of_an_error() -> None:
    endpoint = Endpoint("POST", "/", take_either, "tag", "Summary", ())
    assert endpoint.bodies == (Asked, Other)
    unfit = Endpoint("POST", "/", take_either, "tag", "Summary", (), unfit=Asked("nothing"))
    assert endpoint.codes - unfit.codes == {"http.field-invalid"}


@pytest.mark.parametrize(
    ("method", "handler", "scope", "why"),
    [
        pytest.param("POST", change, None, "open to all", id="a_caller_of_an_open_endpoint"),
        pytest.param("GET", change, Scope.READ, "only POST", id="a_body_of_a_get"),
        pytest.param("GET", look, None, "the path has none", id="a_serial_number_from_nowhere"),
        pytest.param("GET", guess, None, "takes name", id="something_else"),
    ],
)
def test_a_handler_that_takes_what_the_endpoint_cannot_give_is_refused(
    method: str, handler: Callable[..., Any], scope: Scope | None, why: str
) -> None:
    with pytest.raises(TypeError, match=why):
        Endpoint(method, "/", handler, "tag", "Summary", (), scope=scope)
