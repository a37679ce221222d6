"""The documentation of the HTTP interface as a page."""

from __future__ import annotations

import re

from station.web.routes import ENDPOINTS
from tests.harness.api_client import Api


async def test_the_documentation_shows_every_endpoint_and_loads_nothing_from_elsewhere(api: Api) -> None:
    answer = await api.client.get("/docs")
    text = await answer.text()
    for endpoint in ENDPOINTS:
        assert f'<section id="{endpoint.name}">' in text
    assert not re.findall(r"""(?:src|href)=["'](?!/|#)""", text)
    assert "<script" not in text
    assert " style=" not in text
    targets = set(re.findall(r'href="#([^"]+)"', text))
    assert targets <= set(re.findall(r' id="([^"]+)"', text))
