"""The OpenAPI document describes every endpoint, and nothing else."""

from __future__ import annotations

from station.web.routes import ENDPOINTS
from tests.harness.api_client import Api


async def test_the_description_names_every_route_and_nothing_else(api: Api) -> None:
    document = await (await api.client.get("/openapi.json")).json()
    assert document["openapi"] == "3.1.0"
    described = {(method.upper(), path) for path, item in document["paths"].items() for method in item}
    assert described == {(endpoint.method, endpoint.path) for endpoint in ENDPOINTS}
    routed = {
        (r.method, r.resource.canonical.rstrip("/") or "/")
        for r in api.testbed.app.router.routes()
        if r.resource and r.method != "HEAD"
    }
    page = {("GET", "/events"), ("POST", "/logout"), ("GET", "/static")}
    page |= {(method, path) for method in ("GET", "POST") for path in ("/login", "/open")}
    assert routed == described | page


async def test_the_description_says_which_operations_need_a_token(api: Api) -> None:
    document = await (await api.client.get("/openapi.json")).json()
    for endpoint in ENDPOINTS:
        operation = document["paths"][endpoint.path][endpoint.method.lower()]
        needed: dict[str, list[str]] = {"bearer": []} if endpoint.closed else {}
        if endpoint.scope is None:
            assert "security" not in operation
        else:
            assert operation["security"][0] == needed
            assert {"bearer": []} in operation["security"]
            assert operation["x-scope"] == endpoint.scope.value
    assert document["paths"]["/metrics"]["get"]["security"] == [{"bearer": []}]
    assert document["paths"]["/"]["get"]["security"] == [{}, {"bearer": []}]
