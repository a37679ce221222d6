"""A client of the station's HTTP interface for tests."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import msgspec
from aiohttp import ClientResponse
from aiohttp.test_utils import TestClient, TestServer

from shared.birthmark.derivation import token_key
from shared.birthmark.nuc_token import seal_token
from shared.types import NucHash, TableId, key_index
from station.config import StationConfig
from station.registry.tokens import Scope
from station.web.auth.access import COOKIE, PAGE_KEY
from tests.harness.page_testbed import Client, PageTestbed, open_page_testbed

PROBLEM: Final = "application/problem+json"
PROVISION: Final = "/api/v1/devices/provision"
BULK: Final = "/api/v1/devices/provision/bulk"
DEVICES: Final = "/api/v1/devices"

KEY: Final = "ab" * 32
"""The key of the page that `Api.sign_in` signs in."""

Json = dict[str, Any]


class Api:
    """A client with an admin bearer token; `client` itself sends requests without it."""

    def __init__(self, made: PageTestbed, client: Client, token: str) -> None:
        self.testbed = made
        self.client = client
        self.bearer = {"Authorization": f"Bearer {token}"}

    async def get(self, path: str, **options: Any) -> ClientResponse:
        return await self.client.get(path, headers={**self.bearer, **options.pop("headers", {})}, **options)

    async def post(self, path: str, body: object, **headers: str) -> ClientResponse:
        return await self.client.post(path, json=body, headers={**self.bearer, **headers})

    async def provision(self, serial: str, **fields: object) -> Json:
        answer = await self.post(PROVISION, {"device_serial": serial, **fields})
        assert answer.status == 201, await answer.text()
        return dict(await answer.json())

    def token(self, provisioned: Json, table: int | None = None, index: int = 5) -> Json:
        """Return a `camera_token` under the first table of the provisioning file `provisioned`, or under `table`."""
        table = provisioned["table_assignments"][0] if table is None else table
        key = token_key(self.testbed.station.tables.master_key(TableId(table)), key_index(index))
        nuc_hash = NucHash(bytes.fromhex(provisioned["nuc_hash"]))
        made = seal_token(key, os.urandom(12), nuc_hash, TableId(table), key_index(index))
        return dict(msgspec.to_builtins(made))

    async def validate(self, camera_token: object, path: str = "/validate") -> Json:
        body = {"camera_token": camera_token, "manufacturer_authority_id": "CANON_001"}
        answer = await self.client.post(path, json=body)
        assert answer.status == 200, await answer.text()
        return dict(await answer.json())

    async def sign_in(self, *scopes: Scope) -> str:
        """Sign an operator in with a new token of these scopes, and return the session's secret."""
        secret = await self.testbed.token(*scopes)
        answer = await self.client.post(
            "/login",
            data={"token": secret, "page_key": KEY},
            headers={"Sec-Fetch-Site": "same-origin"},
            allow_redirects=False,
        )
        assert answer.status == 303
        cookie = answer.cookies[COOKIE]
        assert cookie["httponly"]
        assert cookie["samesite"] == "Strict"
        assert secret not in cookie.value
        return str(cookie.value)


def session_headers(secret: str, **headers: str) -> dict[str, str]:
    """The headers of a request of the page that signed in; `headers` are more of them, with `_` for `-`."""
    return {
        "Cookie": f"{COOKIE}={secret}",
        PAGE_KEY: KEY,
        **{name.replace("_", "-"): value for name, value in headers.items()},
    }


@asynccontextmanager
async def opened(
    folder: Path, config: StationConfig | None = None, *, behind_proxy: bool = False
) -> AsyncIterator[Api]:
    async with (
        open_page_testbed(folder, config=config, behind_proxy=behind_proxy) as made,
        TestClient(TestServer(made.app)) as client,
    ):
        yield Api(made, client, await made.token(Scope.ADMIN, name="for everything"))


async def problem(answer: ClientResponse, status: int, code: str) -> Json:
    """Check that an answer is a problem of this status and code, and return its JSON."""
    assert answer.status == status, await answer.text()
    assert answer.content_type == PROBLEM
    body: Json = await answer.json(content_type=None)
    assert body["code"] == code
    assert body["type"] == f"urn:birthmark:error:{code}"
    assert body["status"] == status
    return body
