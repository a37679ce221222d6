"""`birthmark-station audit`: the time filter, the rows, and the check."""

from __future__ import annotations

import datetime as dt
import re
import sqlite3

import click
import pytest

from station.cli import audit as commands
from station.cli.audit import Since
from tests.harness.station_commands import StationCommands

NOW = 1_795_500_000


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90s", NOW - 90),
        ("15m", NOW - 900),
        ("12h", NOW - 43_200),
        ("7d", NOW - 604_800),
        ("2026-11-24T06:00:00+00:00", NOW - (NOW % 86_400) + 6 * 3600),
        ("2026-11-24", int(dt.datetime(2026, 11, 24).astimezone().timestamp())),
    ],
)
def test_a_time_is_a_date_or_a_while_ago(text: str, seconds: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(commands, "unix_time", lambda: NOW)
    assert Since().convert(text, None, None) == seconds


@pytest.mark.parametrize("text", ["", "7", "d", "-7d", "7 d", "yesterday", "2026-13-01", "9999999d", "0001-01-01"])
def test_another_time_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(click.BadParameter, match="such as 12h or 7d"):
        Since().convert(text, None, None)


def test_rows_are_printed_the_oldest_first_for_people_and_programs(station: StationCommands) -> None:
    station.provision("CAM-1")
    rows = station.read_json("audit")
    assert [(row["seq"], row["event"], row["serial"]) for row in rows] == [
        (1, "initialised", ""),
        (2, "reserved", "CAM-1"),
        (3, "issued", "CAM-1"),
        (4, "provisioned", "CAM-1"),
    ]
    [name] = {row["station"] for row in rows}
    assert name
    lines = station("audit").stdout.splitlines()
    assert len(lines) == len(rows)
    assert re.match(r" +3  20\d\d-\d\d-\d\d \d\d:\d\d  issued +CAM-1 +" + re.escape(name) + r" +\{", lines[2])


def test_only_rows_since_a_time_are_printed(station: StationCommands) -> None:
    assert station.read_json("audit", "--since", "1h") != []
    assert station.read_json("audit", "--since", "2100-01-01") == []


def test_the_head_that_is_printed_is_good_for_the_next_check(station: StationCommands) -> None:
    first = station("audit verify")
    assert first.exit_code == 0
    [noted] = re.findall(r"whole: 1 rows\. Note: (1:[0-9a-f]{64})$", first.stdout.strip())
    station.provision("CAM-1")
    assert station("audit verify", "--noted", noted).exit_code == 0
    found = station.read_json("audit verify")
    assert (found["whole"], found["problems"]) == (True, [])
    assert found["head"].startswith(f"{found['rows']}:")
    rewritten = station("audit verify", "--noted", f"1:{'00' * 32}")
    assert (rewritten.exit_code, "[audit.broken]" in rewritten.stderr) == (1, True)


@pytest.mark.parametrize("noted", ["", "1", f"x:{'0' * 64}", f"1:{'0' * 63}", f"1:{'0' * 65}", f"1:{'G' * 64}"])
def test_an_invalid_head_is_a_usage_error(station: StationCommands, noted: str) -> None:
    result = station("audit verify", "--noted", noted)
    assert (result.exit_code, "--noted is ROW:HASH" in result.stderr) == (2, True)


def test_a_changed_row_is_named_and_still_shown(station: StationCommands) -> None:
    registry = sqlite3.connect(station.data_dir / "registry.sqlite")
    registry.execute("DROP TRIGGER audit_no_update")
    registry.execute("UPDATE audit SET detail = 'no JSON \x1b[2J'")
    registry.commit()
    registry.close()
    result = station("audit verify", "--json")
    assert result.exit_code == 1
    assert '"whole": false' in result.stdout
    assert "row 1" in result.stderr
    assert station.read_json("audit")[0]["detail"] == "no JSON \x1b[2J"
    assert "\x1b" not in station("audit").stdout
