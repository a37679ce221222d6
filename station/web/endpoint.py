"""The declaration of an endpoint. `station.web.enforcement` enforces it; router, rate limits and document go by it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Final, get_args, get_type_hints

import msgspec
from aiohttp import hdrs, web

from shared.errors import ErrorCode
from station.registry.tokens import Scope

JSON: Final = "application/json"

BODY_BYTES: Final = 64 * 1024
"""A CSR is 8 KiB at most; the limit for a camera's certificate is 64 KiB of base64, and real ones are far smaller."""

_MAY_TAKE: Final = frozenset({"request", "serial", "caller", "query", "body"})


@dataclass(frozen=True, slots=True)
class Answer:
    """A successful answer, or another one that is not a problem document."""

    status: int
    text: str
    content: Mapping[str, Any] = field(default_factory=dict)
    """Media type → a msgspec type for JSON, None for bytes or text. Without any, the answer has no content."""
    headers: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Reply:
    """A handler's value with another status than the first declared one, or with headers."""

    value: msgspec.Struct
    status: int | None = None
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Endpoint:
    """Everything that is known of an endpoint. Query and body are declared by the handler's parameters of these names.

    A handler takes what it names: `request`, `serial` (from the path), `caller`, `query` and `body`. It returns a
    value for JSON, a `Reply`, a whole response, or one value after another for lines of JSON.
    """

    method: str
    path: str
    handler: Callable[..., Any]
    tag: str
    summary: str
    answers: tuple[Answer, ...]
    errors: tuple[ErrorCode, ...] = ()
    """Error codes that only the handler raises; `codes` has all."""
    text: str = ""
    rate: str = "public"
    """A rate's name in the configuration."""
    scope: Scope | None = None
    """The scope that a caller's token or session needs; None for an endpoint that is open to all."""
    open_when: Callable[[web.Request], bool] | None = None
    """Which requests need no `scope`, by the station's settings; None for none."""
    sign_in: bool = False
    """Whether to send a caller without a token or session to the sign-in page, instead of refusing them."""
    body_bytes: int = BODY_BYTES
    on_bad_body: Callable[[web.Request], None] | None = None
    """Told of a body that is not as declared."""
    unfit: msgspec.Struct | None = None
    """The answer to a body of JSON whose fields are not as declared; without one it is `http.field-invalid`."""
    curl: str = ""
    """An example's arguments, shown in /docs."""

    def __post_init__(self) -> None:
        takes = self.takes
        if unknown := takes.keys() - _MAY_TAKE:
            raise TypeError(f"{self.name}: the handler takes {', '.join(sorted(unknown))}")
        if "caller" in takes and self.scope is None:
            raise TypeError(f"{self.name}: the handler takes a caller, and the endpoint is open to all")
        if "serial" in takes and "{serial}" not in self.path:
            raise TypeError(f"{self.name}: the handler takes a serial number, and the path has none")
        if self.bodies and self.method != hdrs.METH_POST:
            raise TypeError(f"{self.name}: only POST has a body")

    @property
    def name(self) -> str:
        """Its operationId."""
        words = "".join(c if c.isalnum() else " " for c in self.path).split() or ["root"]
        return "_".join([self.method.lower(), *words])

    @cached_property
    def takes(self) -> dict[str, Any]:
        """The handler's parameters: name → type."""
        hints = get_type_hints(self.handler)
        return {name: kind for name, kind in hints.items() if name != "return"}

    @property
    def query(self) -> type[msgspec.Struct] | None:
        """Each field is a parameter. Without a type, the query is ignored."""
        return self.takes.get("query")

    @property
    def bodies(self) -> tuple[type[msgspec.Struct], ...]:
        """The body is one of these, the first that fits; empty for an endpoint without a body."""
        body = self.takes.get("body")
        return () if body is None else get_args(body) or (body,)

    @property
    def closed(self) -> bool:
        """Whether every caller needs a token or session."""
        return self.scope is not None and self.open_when is None

    @property
    def codes(self) -> frozenset[ErrorCode]:
        """The codes of all errors that are special to it: the handler's, and those of what is enforced."""
        codes: set[ErrorCode] = set(self.errors)
        if self.scope is not None:
            codes |= {"access.denied", "access.scope-missing", "http.in-the-clear"}
            if not self.sign_in:
                codes.add("access.required")
        if self.query is not None:
            codes.add("http.parameter-invalid")
        if self.method != hdrs.METH_GET:
            codes.add("http.cross-site")
            if self.scope is not None:
                codes.add("access.page-key-missing")
        if self.bodies:
            codes |= {"http.malformed", "http.too-large", "http.too-slow", "http.unsupported-media-type"}
            if self.unfit is None:
                codes.add("http.field-invalid")
        return frozenset(codes)
