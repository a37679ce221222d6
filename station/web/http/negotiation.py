"""Chooses the media type of an answer by the Accept header (RFC 9110, 12.5.1)."""

from __future__ import annotations

from typing import Final

from aiohttp import web

_ACCEPT_CHARACTERS: Final = 4096
"""Characters of an Accept header that are read; browsers send about 150."""


def asks_for_json(request: web.Request) -> bool:
    """Whether the client prefers JSON to a page; one without a preference gets the page."""
    return _quality(request, "application", "json") > _quality(request, "text", "html")


def asks_for_page(request: web.Request) -> bool:
    """Whether the client prefers a page to JSON; one without a preference is a program."""
    return _quality(request, "text", "html") > _quality(request, "application", "json")


def choose_media_type(request: web.Request, offers: tuple[str, ...]) -> str:
    """Return the media type of `offers` that the client prefers; the first for a client without a preference."""
    return max(offers, key=lambda offer: _quality(request, *offer.split("/")))


def _quality(request: web.Request, kind: str, subtype: str) -> float:
    """Return the quality of a media type, 0 to 1, from the most specific range that matches."""
    header = ",".join(request.headers.getall("Accept", ["*/*"]))[:_ACCEPT_CHARACTERS]
    ranges = ("*/*", f"{kind}/*", f"{kind}/{subtype}")
    best = (-1, 0.0)
    for item in header.split(","):
        name, *parameters = (part.strip().lower() for part in item.split(";"))
        if name in ranges:
            best = max(best, (ranges.index(name), _weight(parameters)))
    return best[1]


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
