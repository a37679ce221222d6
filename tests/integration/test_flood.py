"""Two hundred devices that send garbage of every kind neither block the next unit nor fill the memory."""

from __future__ import annotations

import json
import re
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from station.ports.port import _REFUSED_SECONDS, _REFUSED_SECONDS_MAX
from virtual.flood import KINDS, Flood
from virtual.pi import VirtualPi
from virtual.station import VirtualStation
from virtual.timeouts import GREETING_SECONDS, TIMEOUT_SECONDS, WAIT_OPTIONS

DEVICES = 200
FLOOD_SECONDS = 12
PORT_BYTES = 512 * 1024
"""The most memory that one port may take (docs/security.md)."""

SLACK_BYTES = 16 * 1024 * 1024


@pytest.fixture
def station(tmp_path: Path) -> Iterator[VirtualStation]:
    with VirtualStation(tmp_path / "station", f"{tmp_path}/flood-*", f"{tmp_path}/pi-*/station") as station:
        station.init()
        station.start()
        yield station


def rss_bytes(station: VirtualStation) -> int:
    assert station.process is not None
    status = Path(f"/proc/{station.process.pid}/status").read_text()
    found = re.search(r"^VmRSS:\s+(\d+) kB$", status, re.MULTILINE)
    assert found
    return int(found[1]) * 1024


def sessions_at_most(seconds: float) -> int:
    """Return the most refusals of one port in a time: after each is a pause, twice as long as the one before."""
    count, pause = 1, _REFUSED_SECONDS
    while seconds > 0:
        seconds -= pause
        pause = min(2 * pause, _REFUSED_SECONDS_MAX)
        count += 1
    return count


def refusals(station: VirtualStation) -> list[tuple[str, int, str]]:
    """Return for each refused port how often it was refused, and with which codes."""
    with closing(sqlite3.connect(f"file:{station.data_dir}/registry.sqlite?mode=ro", uri=True)) as registry:
        return registry.execute(
            "SELECT json_extract(detail, '$.port'), count(*), group_concat(DISTINCT json_extract(detail, '$.code')) "
            "FROM audit WHERE event = 'refused' GROUP BY 1"
        ).fetchall()


def flooded(rows: list[tuple[str, int, str]]) -> bool:
    """Whether the station has refused a device of each kind; for two kinds it only waits."""
    return len(rows) > DEVICES * (len(KINDS) - 2) // len(KINDS)


def test_two_hundred_devices_that_send_garbage_leave_the_station_serving_the_next(
    station: VirtualStation, tmp_path: Path
) -> None:
    pi = VirtualPi(tmp_path / "pi-1", 1)
    pi.nuc_map.write_bytes(b"the map of a sensor" * 99)
    idle = rss_bytes(station)
    begun = time.monotonic()
    with Flood(tmp_path, DEVICES) as flood:
        time.sleep(FLOOD_SECONDS)
        while not flooded(refusals(station)) and time.monotonic() < begun + TIMEOUT_SECONDS:
            time.sleep(1)
        with pi.cable:
            # The station is as slow as the floods and the machine make it; the session must succeed all the same.
            agent = pi.start("--once", *WAIT_OPTIONS, "--step-seconds", f"{GREETING_SECONDS:g}")
            _, said = agent.communicate(timeout=TIMEOUT_SECONDS)
        assert agent.returncode == 0, said
        assert json.loads(station.get("/health", "application/json"))["status"] == "healthy"
        resident = rss_bytes(station)
        rows = refusals(station)
        seconds = time.monotonic() - begun
        assert all(device.sent > 0 for device in flood.devices)
    assert resident < idle + DEVICES * PORT_BYTES + SLACK_BYTES
    assert "Traceback" not in station.log.read_text()
    assert flooded(rows)
    assert all(count <= sessions_at_most(seconds) for _, count, _ in rows)
    codes = {code for _, _, found in rows for code in found.split(",")}
    assert {"link.noise", "message.malformed", "attestation.public-malformed"} <= codes
