"""`birthmark-station open`, and the address at which a browser reaches the page."""

from __future__ import annotations

import os

import pytest

from station.cli.page_link import page_address
from station.config import AuthorityConfig
from station.setup.data_lock import LOCK_NAME, locked
from tests.harness.station_commands import StationCommands

PUBLIC = "https://station.example.org/base"


@pytest.mark.parametrize(
    ("served", "public_url", "behind_proxy", "page"),
    [
        ("http://127.0.0.1:8001/", PUBLIC, False, "http://127.0.0.1:8001/"),
        ("https://[::]:443/ and http://[::1]:8001/ and unix:/run/x", PUBLIC, False, "http://[::1]:8001/"),
        ("https://127.0.0.1:8443/", PUBLIC, False, "https://127.0.0.1:8443/"),
        ("http://127.0.0.1:8001/", PUBLIC, True, f"{PUBLIC}/"),
        ("http://127.0.0.1:8001/", "http://localhost", True, "http://127.0.0.1:8001/"),
        ("https://0.0.0.0:443/", PUBLIC, False, f"{PUBLIC}/"),
        ("https://192.0.2.1:443/", "http://127.0.0.1:8001", False, "https://192.0.2.1:443/"),
        ("http://127.0.0.1:8001/ and http://172.17.0.1:8001/", PUBLIC, False, "http://127.0.0.1:8001/"),
        ("http://0.0.0.0:8001/", PUBLIC, False, "http://127.0.0.1:8001/"),
        ("http://[::]:8001/", PUBLIC, False, "http://[::1]:8001/"),
        ("http://0.0.0.0:8001/", PUBLIC, True, f"{PUBLIC}/"),
        ("unix:/run/x", PUBLIC, False, f"{PUBLIC}/"),
    ],
)
def test_the_page_is_on_loopback_or_at_the_public_address(
    served: str, public_url: str, behind_proxy: bool, page: str
) -> None:
    config = AuthorityConfig(public_url=public_url)
    assert page_address(served, config, behind_proxy=behind_proxy) == page


def test_a_link_is_printed_for_a_station_that_runs(station: StationCommands) -> None:
    with locked(station.data_dir) as lock:
        lock.note_page("http://127.0.0.1:8001/")
        links = {station("open").stdout.strip() for _ in range(2)}
        told = station.read_json("open")
    assert told["seconds"] == 120
    links.add(told["link"])
    assert len(links) == 3
    for link in links:
        page, _, secret = link.partition("#")
        assert page == "http://127.0.0.1:8001/open"
        assert len(secret) == 22
        assert not any(secret.encode() in path.read_bytes() for path in station.data_dir.iterdir() if path.is_file())


def test_without_a_station_that_runs_there_is_no_link(station: StationCommands) -> None:
    assert "[data.not-served]" in station("open").stderr
    (station.data_dir / LOCK_NAME).write_text("2147483646\nhttp://127.0.0.1:8001/\n")  # of one that was killed
    assert "[data.not-served]" in station("open").stderr


def test_a_directory_that_is_no_station_has_no_page(station: StationCommands) -> None:
    (station.data_dir / "station.toml").unlink()
    (station.data_dir / LOCK_NAME).write_text(f"{os.getpid()}\nhttp://127.0.0.1:8001/\n")
    assert "[data.incomplete]" in station("open").stderr
