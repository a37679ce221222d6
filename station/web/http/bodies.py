"""Decodes all bodies and queries to typed values.

Errors repeat msgspec's messages only where these come from our own types; they never quote the request.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from typing import Final, TypeVar

import msgspec
from aiohttp import web

from shared.errors import BirthmarkError, ErrorCode
from station.web.endpoint import JSON
from station.web.http.problems import InvalidFieldError
from station.web.http.turns import TURN

T = TypeVar("T", bound=msgspec.Struct)

BODY_SECONDS: Final = 20.0
"""Time limit for a whole body: 4 MiB at 2 Mbit/s."""

_WHERE: Final = re.compile(r"(?P<what>.*?)(?: - at `(?:key in )?\$?\.?(?P<where>[^`]*)`)?\Z", re.DOTALL)
_UNKNOWN: Final = re.compile(r"Object contains unknown field `(?P<name>[a-z][a-z0-9_]{0,31})`\Z")
_MISSING: Final = re.compile(r"Object missing required field `(?P<name>[a-z0-9_]+)`\Z")
_EXPECTED: Final = re.compile(r"Expected (?P<limit>`[a-z ]+`[^`]*(?:`[a-z]+`)?)\Z")
_PATH: Final = re.compile(r"[a-z0-9_.\[\]]{0,64}\Z")


async def read_json(request: web.Request, kinds: Sequence[type[T]], most: int) -> T:
    """Decode the body as the first of `kinds` that fits; an error is about the first.

    Raises `http.unsupported-media-type`, `http.too-large`, `http.malformed` and `http.field-invalid`.
    """
    if request.content_type != JSON:
        raise BirthmarkError("http.unsupported-media-type")
    data = await read_body(request, most)
    errors = []
    for kind in kinds:
        try:
            return decode_json(data, kind)
        except InvalidFieldError as error:
            errors.append(error)
    raise errors[0]


def decode_json(data: bytes, kind: type[T]) -> T:
    """Decode JSON as a `kind`. Raises `http.malformed` or `http.field-invalid`."""
    try:
        return msgspec.json.decode(data, type=kind)
    except msgspec.ValidationError as error:
        raise _invalid_field("http.field-invalid", str(error)) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise BirthmarkError("http.malformed", "the body is not JSON") from None


async def read_body(request: web.Request, most: int) -> bytes:
    """Read a body of at most `most` bytes. Raises `http.too-large`, `http.too-slow`."""
    too_large = BirthmarkError("http.too-large", f"{most} bytes are the most")
    if (request.content_length or 0) > most:
        raise too_large
    parts, size = [], 0
    async with request[TURN].given_up():
        try:
            async with asyncio.timeout(BODY_SECONDS):
                async for part in request.content.iter_any():
                    size += len(part)
                    if size > most:
                        raise too_large
                    parts.append(part)
        except TimeoutError:
            raise BirthmarkError("http.too-slow", f"the body took longer than {BODY_SECONDS:g} s") from None
    return b"".join(parts)


def read_query(request: web.Request, kind: type[T]) -> T:
    """Decode the query as a `kind`. Raises `http.parameter-invalid`, also for an unknown or repeated parameter."""
    query = request.query
    for name in query:
        if len(query.getall(name)) > 1:
            raise InvalidFieldError("http.parameter-invalid", name if _PATH.match(name) else "", "it may be given once")
    try:
        found = msgspec.convert(dict(query), kind, strict=False)
    except msgspec.ValidationError as error:
        raise _invalid_field("http.parameter-invalid", str(error)) from None
    for name in query:
        if getattr(found, name) is None:  # msgspec decodes the text `null` to None
            raise InvalidFieldError("http.parameter-invalid", name, "it is not one of the values it may have")
    return found


def _invalid_field(code: ErrorCode, message: str) -> InvalidFieldError:
    found = _WHERE.match(message)
    what, where = (found["what"], found["where"] or "") if found else ("", "")
    where = where if _PATH.match(where) else ""
    if unknown := _UNKNOWN.match(what):
        return InvalidFieldError(code, _join_path(where, unknown["name"]), "there is no such field")
    if what.startswith("Object contains unknown field"):
        return InvalidFieldError(code, where, "it has a field that there is not")
    if missing := _MISSING.match(what):
        return InvalidFieldError(code, _join_path(where, missing["name"]), "it is required")
    if expected := _EXPECTED.match(what):
        return InvalidFieldError(code, where, f"expected {expected['limit']}".replace("`", "").replace(r"\\Z", "$"))
    return InvalidFieldError(code, where, "it is not one of the values it may have")


def _join_path(where: str, name: str) -> str:
    return f"{where}.{name}" if where else name
