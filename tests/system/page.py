"""Opens the station's page in a guest by a link, as a browser does, and reads it."""

from __future__ import annotations

from typing import Final

from tests.system.guest import Guest

ADDRESS: Final = "http://127.0.0.1:8001/"
_COOKIES: Final = "/run/page-cookies"

READ: Final = f"curl -sS --fail --max-time 300 -b {_COOKIES} -H 'Accept: text/html' {ADDRESS}"
"""Prints the page once it is open."""


def open_page(pi: Guest, link: str = "") -> None:
    """Press the button of the page that `link` leads to, or a new link. A restart of the station closes the page."""
    door, _, secret = (link or pi.good("birthmark-station open 2>/dev/null", 300)).partition("#")
    asked = f"curl -sS --fail --max-time 300 -c {_COOKIES} -H 'Origin: {ADDRESS[:-1]}' -d 'link={secret}' {door}"
    pi.good(asked, 300)
