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
        (r.method, r.resource.canonical) for r in api.testbed.app.router.routes() if r.resource and r.method != "HEAD"
    }
    page = {("GET", "/events"), ("POST", "/logout"), ("GET", "/static")}
    page |= {(method, path) for method in ("GET", "POST") for path in ("/login", "/open")}
    assert routed == described | page
