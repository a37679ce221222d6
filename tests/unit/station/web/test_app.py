"""The application as a whole: its paths and its parts."""

from __future__ import annotations

import re

import jinja2
import pytest

from station.web import app_keys
from station.web.app import create_app
from station.web.routes import ENDPOINTS
from tests.harness.api_client import DEVICES, PROVISION, Api
from tests.harness.page_testbed import Client, PageTestbed

READING = [endpoint for endpoint in ENDPOINTS if endpoint.method == "GET"]


@pytest.mark.parametrize("endpoint", READING, ids=lambda endpoint: endpoint.name)
async def test_every_readable_path_answers_head_with_the_same_headers(api: Api, endpoint) -> None:  # type: ignore[no-untyped-def]
    await api.provision("CAM-1")
    path = endpoint.path.replace("{serial}", "CAM-1")
    whole = await api.get(path)
    head = await api.client.head(path, headers=api.bearer)
    assert (head.status, head.content_type) == (whole.status, whole.content_type) == (200, whole.content_type)
    assert await head.read() == b""


@pytest.mark.parametrize("endpoint", READING, ids=lambda endpoint: endpoint.name)
async def test_a_slash_at_the_end_changes_nothing(api: Api, endpoint) -> None:  # type: ignore[no-untyped-def]
    await api.provision("CAM-1")
    path = endpoint.path.replace("{serial}", "CAM-1").rstrip("/")
    for method in ("GET", "HEAD"):
        plain, slash = [await api.client.request(method, path + end, headers=api.bearer) for end in ("", "/")]
        assert (plain.status, plain.content_type) == (slash.status, slash.content_type) == (200, plain.content_type)


async def test_a_slash_at_the_end_of_an_address_to_post_to_changes_nothing(api: Api) -> None:
    token = api.token(await api.provision("CAM-1"))
    assert (await api.validate(token, "/validate/"))["valid"] is True
    assert [(await api.post(f"{PROVISION}/", {"device_serial": "CAM-2"})).status for _ in range(2)] == [201, 409]
    bulk = await api.post(f"{PROVISION}/bulk/", {"devices": [{"device_serial": "CAM-3"}]})
    assert bulk.status == 200
    await bulk.read()  # its lines come as the units are provisioned
    assert (await api.post(f"{DEVICES}/CAM-3/revoke/", {"reason": "gone"})).status == 200
    answer = await api.get(f"{PROVISION}/")
    assert (answer.status, answer.headers["Allow"]) == (405, "POST")
    counted = await (await api.get("/metrics/")).text()
    assert 'endpoint="/validate"' in counted
    assert 'endpoint="/validate/"' not in counted


async def test_the_stream_of_events_has_no_head(client: Client) -> None:
    assert (await client.head("/events")).status == 405


async def test_the_address_for_provisioning_is_no_unit(api: Api) -> None:
    answer = await api.get(PROVISION)
    assert (answer.status, answer.headers["Allow"]) == (405, "POST")
    assert (await api.get(f"{DEVICES}/provisional")).status == 404


async def test_assets_are_named_with_the_version_that_the_page_was_made_for(
    testbed: PageTestbed, client: Client
) -> None:
    body = await (await client.get("/", headers={"Accept": "text/html"})).text()
    assets = re.findall(r'"(/static/[^"]+)"', body)
    assert assets
    for asset in assets:
        assert asset.endswith(f"?{testbed.app[app_keys.ASSET_VERSION]}")
        assert (await client.get(asset)).status == 200


async def test_a_restart_without_a_change_keeps_the_pages_that_are_open(testbed: PageTestbed) -> None:
    before = testbed.app[app_keys.ASSET_VERSION]
    testbed.new_app()
    assert testbed.app[app_keys.ASSET_VERSION] == before


async def test_templates_escape_and_refuse_what_is_not_there(testbed: PageTestbed) -> None:
    templates = testbed.app[app_keys.TEMPLATES]
    assert templates.from_string("{{ word }}").render(word="<b>") == "&lt;b&gt;"
    with pytest.raises(jinja2.UndefinedError):
        templates.from_string("{{ word }}").render()


@pytest.mark.parametrize("ends", [None, 1_900_000_000.0])
async def test_the_end_of_the_tls_certificate_is_a_metric_where_there_is_one(
    testbed: PageTestbed, ends: float | None
) -> None:
    app = create_app(testbed.station, tls_ends=ends)
    value = app[app_keys.METRICS].registry.get_sample_value(
        "birthmark_certificate_expiry_timestamp_seconds", {"certificate": "tls"}
    )
    assert value == ends
