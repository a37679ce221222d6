"""The description of an endpoint for the router, the rate limits and the OpenAPI document."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import msgspec
from aiohttp.typedefs import Handler

from station.registry.tokens import Scope

JSON: Final = "application/json"


@dataclass(frozen=True, slots=True)
class Answer:
    """A successful answer, or another one that is not a problem document."""

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
    errors: tuple[str, ...] = ()
    """Error codes of this endpoint, besides those of every endpoint."""
    text: str = ""
    rate: str = "public"
    """A rate's name in the configuration."""
    scope: Scope | None = None
    """The scope that a bearer token needs; None for an open endpoint."""
    body: type[msgspec.Struct] | None = None
    parameters: type[msgspec.Struct] | None = None
    """The query: each field is a parameter."""
    curl: str = ""
    """An example's arguments, shown in /docs."""

    @property
    def name(self) -> str:
        """Its operationId."""
        words = "".join(c if c.isalnum() else " " for c in self.path).split() or ["root"]
        return "_".join([self.method.lower(), *words])
