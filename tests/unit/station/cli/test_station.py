"""`birthmark-station station` lists the stations' certificates and revokes them."""

from __future__ import annotations

import asyncio

import pytest

from runtime.clock import unix_time
from station.registry import stations
from station.setup.open import open_registry
from tests.harness.station_commands import StationCommands

DAY = 86_400


@pytest.fixture
def hall(station: StationCommands) -> StationCommands:
    """A station whose registry knows two of a hall and an expired one."""

    async def fill() -> None:
        now = unix_time()
        async with open_registry(station.data_dir) as registry, registry.write() as connection:
            for name, serial, days in (("hall", 0xA1, 90), ("hall", 0xA2, 60), ("old", 0xA3, -1)):
                await stations.record(connection, name, serial, now - 90 * DAY, now + days * DAY, now)

    asyncio.run(fill())
    return station


def states(station: StationCommands) -> dict[str, str]:
    return {line.split()[1]: line.split()[2] for line in station("station list").stdout.splitlines()}


def test_the_list_says_which_are_valid_revoked_or_expired(hall: StationCommands) -> None:
    assert hall("station revoke", "a2", "--reason", "stolen").stdout == "Revoked hall, certificate a2.\n"
    assert states(hall) == {"a1": "valid", "a2": "revoked", "a3": "expired"}
    found = {one["certificate_serial"]: one for one in hall.read_json("station list")}
    assert (found["a2"]["valid"], found["a2"]["revoked_reason"]) == (False, "stolen")


def test_all_stations_of_a_name_are_revoked_together(hall: StationCommands) -> None:
    assert [one["certificate_serial"] for one in hall.read_json("station revoke", "hall", "--reason", "x")] == [
        "a1",
        "a2",
    ]


@pytest.mark.parametrize(
    ("arguments", "code"),
    [(("nobody", "--reason", "x"), "authority.station-unknown"), (("hall", "--reason", "\x07"), "config.invalid")],
)
def test_what_cannot_be_revoked_is_refused(hall: StationCommands, arguments: tuple[str, ...], code: str) -> None:
    result = hall("station revoke", *arguments)
    assert result.exit_code == 1
    assert code in result.stderr
    assert states(hall) == {"a1": "valid", "a2": "valid", "a3": "expired"}
