"""What an endpoint is: everything that the router, the rate limits and the OpenAPI document need to know of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import msgspec
from aiohttp.typedefs import Handler

from station.registry.tokens import Scope

JSON: Final = "application/json"


@dataclass(frozen=True, slots=True)
class Answer:
    """A successful answer, or one that says no in a form of its own."""

    status: int
    text: str
    content: dict[str, Any]
    """Media type → a msgspec type for JSON, None for bytes or text."""
    headers: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Endpoint:
    method: str
    path: str
    handler: Handler
    tag: str
    summary: str
    answers: tuple[Answer, ...]
    faults: tuple[str, ...] = ()
    """Codes of errors it may answer with, besides those that every endpoint may."""
    text: str = ""
    rate: str = "public"
    """The name of a rate in the configuration."""
    scope: Scope | None = None
    """What a bearer token must allow; None for an open endpoint."""
    body: type[msgspec.Struct] | None = None
    parameters: type[msgspec.Struct] | None = None
    """The query, each field a parameter."""
    curl: str = ""
    """An example's arguments, shown in /docs."""

    @property
    def name(self) -> str:
        """Its operationId."""
        words = "".join(c if c.isalnum() else " " for c in self.path).split() or ["root"]
        return "_".join([self.method.lower(), *words])
