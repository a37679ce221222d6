"""The name of an endpoint, which is its operationId and its place in /docs."""

from __future__ import annotations

import pytest
from aiohttp import web

from station.web.endpoint import Endpoint


async def handle(_request: web.Request) -> web.Response:
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
    assert (endpoint.scope, endpoint.rate, endpoint.body, endpoint.errors) == (None, "public", None, ())
