"""Which public addresses only this machine can reach, and which are none."""

from __future__ import annotations

import pytest

from shared.errors import BirthmarkError
from station.config import AuthorityConfig, StationConfig, check


@pytest.mark.parametrize(
    ("url", "local"),
    [
        ("http://127.0.0.1:8001", True),
        ("http://127.8.9.1", True),
        ("http://LOCALHOST:80/x", True),
        ("http://station.localhost", True),
        ("http://[::1]:8001", True),
        ("http://0.0.0.0:8001", True),
        ("http://[::]", True),
        ("http://10.0.0.5", False),
        ("https://station.example.org/sma", False),
        ("https://localhost.example.org", False),
        ("https://127.0.0.1.example.org", False),
        ("https://127.0.0.1@station.example.org", False),
    ],
)
def test_a_loopback_address_is_known_by_its_host(url: str, local: bool) -> None:
    authority = check(StationConfig(authority=AuthorityConfig(public_url=url))).authority
    assert authority.local_only == local


@pytest.mark.parametrize("url", ["http://[1", "http://:8001", "https:///x", "http://[::1", "ftp://x", "http://a b"])
def test_an_address_without_a_host_is_refused(url: str) -> None:
    with pytest.raises(BirthmarkError, match=r"public_url.*config\.invalid"):
        check(StationConfig(authority=AuthorityConfig(public_url=url)))
