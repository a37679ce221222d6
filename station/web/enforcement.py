"""Enforces what an endpoint declares: who may call it, what the request may hold, and what the answer holds.

A handler sees only requests that are as declared. An answer that is not is a bug of ours and leaves as one.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any, Final

import msgspec
from aiohttp import web
from aiohttp.typedefs import Handler

from shared.errors import BirthmarkError
from station.web.auth.access import admit
from station.web.endpoint import JSON, Answer, Endpoint, Reply
from station.web.http.bodies import read_json, read_query
from station.web.http.problems import InvalidFieldError
from station.web.http.turns import TURN

log = logging.getLogger(__name__)

NDJSON: Final = "application/x-ndjson"

SEND_SECONDS: Final = 20.0
"""When a client does not read a line for this long, the station makes no more of them."""


def enforced(endpoint: Endpoint) -> Handler:
    """Return the handler that the router calls."""

    async def handle(request: web.Request) -> web.StreamResponse:
        """Raises `access.*`, `http.*`, and what the endpoint's own handler raises."""
        given: dict[str, Any] = {"request": request, "serial": request.match_info.get("serial", "")}
        if endpoint.scope is not None:
            try:
                given["caller"] = await admit(request, endpoint.scope, endpoint.open_when)
            except BirthmarkError as error:
                if endpoint.sign_in and error.code == "access.required":
                    return _checked(endpoint, _send_to_sign_in())
                raise
        if endpoint.query is not None:
            given["query"] = read_query(request, endpoint.query)
        if endpoint.bodies:
            try:
                given["body"] = await _read_body(request, endpoint)
            except InvalidFieldError:
                if endpoint.unfit is None:
                    raise
                return _respond(endpoint, endpoint.unfit)
        made = endpoint.handler(**{name: given[name] for name in endpoint.takes})
        if isinstance(made, AsyncGenerator):
            return await _send_lines(request, endpoint, made)
        return _respond(endpoint, await made)

    return handle


def _send_to_sign_in() -> web.Response:
    return web.Response(status=303, headers={"Location": "/login", "Vary": "Accept"})


async def _read_body(request: web.Request, endpoint: Endpoint) -> msgspec.Struct:
    try:
        return await read_json(request, endpoint.bodies, endpoint.body_bytes)
    except BirthmarkError:
        if endpoint.on_bad_body:
            endpoint.on_bad_body(request)
        raise


def _respond(endpoint: Endpoint, made: object) -> web.StreamResponse:
    if isinstance(made, web.StreamResponse):
        return _checked(endpoint, made)
    reply = made if isinstance(made, Reply) else Reply(made) if isinstance(made, msgspec.Struct) else None
    if reply is None:
        raise TypeError(f"{endpoint.name} answers with {type(made).__name__}")
    status = reply.status or endpoint.answers[0].status
    _check_type(endpoint, _declared(endpoint, status), JSON, reply.value)
    body = msgspec.json.encode(reply.value)
    return _checked(endpoint, web.Response(body=body, content_type=JSON, status=status, headers=reply.headers))


async def _send_lines(
    request: web.Request, endpoint: Endpoint, lines: AsyncGenerator[object, None]
) -> web.StreamResponse:
    """Send each value as a line of JSON as soon as it is there, and make no more when the client is gone."""
    answer = endpoint.answers[0]
    response = web.StreamResponse(status=answer.status, headers={"Content-Type": NDJSON})
    async with aclosing(lines):
        await _checked(endpoint, response).prepare(request)
        try:
            async for line in lines:
                _check_type(endpoint, answer, NDJSON, line)
                async with request[TURN].given_up(), asyncio.timeout(SEND_SECONDS):
                    await response.write(msgspec.json.encode(line) + b"\n")
        except TimeoutError:
            raise ConnectionResetError from None
        except ConnectionResetError:
            raise
        except BirthmarkError as error:  # its turn did not come
            log.warning("%s: broken off: %s", endpoint.name, error)
            raise ConnectionResetError from None
        except Exception:  # the answer has begun: only its breaking off can tell the client
            log.exception("%s: a bug", endpoint.name)
            raise ConnectionResetError from None
        await response.write_eof()
    return response


def _checked(endpoint: Endpoint, response: web.StreamResponse) -> web.StreamResponse:
    answer = _declared(endpoint, response.status)
    if answer.content and response.content_type not in answer.content:
        raise TypeError(f"{endpoint.name} answers with the undeclared media type {response.content_type}")
    if missing := [name for name in answer.headers if name not in response.headers]:
        raise TypeError(f"{endpoint.name} answers without {', '.join(missing)}")
    return response


def _declared(endpoint: Endpoint, status: int) -> Answer:
    for answer in endpoint.answers:
        if answer.status == status:
            return answer
    raise TypeError(f"{endpoint.name} answers with the undeclared status {status}")


def _check_type(endpoint: Endpoint, answer: Answer, media: str, value: object) -> None:
    if answer.content.get(media) is not type(value):
        raise TypeError(f"{endpoint.name} answers with the undeclared type {type(value).__name__}")
