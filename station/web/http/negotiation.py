"""Chooses the media type of an answer by the Accept header (RFC 9110, 12.5.1)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from aiohttp import web

_ACCEPT_CHARACTERS: Final = 4096
"""Characters of an Accept header that are read; browsers send about 150."""


def asks_for_page(request: web.Request) -> bool:
    """Whether the client asks for a page: it names text/html, and does not prefer JSON to it.

    One that names neither is a program, such as curl; a browser always names text/html.
    """
    page, json = _quality(request, "text", "html"), _quality(request, "application", "json")
    return page > json or (page == json > 0 and _names_pages(request))


def choose_media_type(request: web.Request, offers: tuple[str, ...]) -> str:
    """Return the media type of `offers` that the client prefers; the first for a client without a preference."""
    return max(offers, key=lambda offer: _quality(request, *offer.split("/")))


def _quality(request: web.Request, kind: str, subtype: str) -> float:
    """Return the quality of a media type, 0 to 1, from the most specific range that matches."""
    ranges = ("*/*", f"{kind}/*", f"{kind}/{subtype}")
    best = (-1, 0.0)
    for name, parameters in _accepted(request):
        if name in ranges:
            best = max(best, (ranges.index(name), _weight(parameters)))
    return best[1]


def _names_pages(request: web.Request) -> bool:
    return any(name == "text/html" for name, _ in _accepted(request))


def _accepted(request: web.Request) -> Iterator[tuple[str, list[str]]]:
    """Each media range of the Accept header with its parameters, in lower case."""
    header = ",".join(request.headers.getall("Accept", ["*/*"]))[:_ACCEPT_CHARACTERS]
    for item in header.split(","):
        name, *parameters = (part.strip().lower() for part in item.split(";"))
        yield name, parameters


def _weight(parameters: list[str]) -> float:
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name.strip() == "q":
            try:
                weight = float(value)
            except ValueError:
                return 0.0
            return weight if 0 <= weight <= 1 else 0.0
    return 1.0
