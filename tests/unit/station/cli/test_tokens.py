"""`birthmark-station tokens` prints a token once, lists tokens without secrets, and revokes them."""

from __future__ import annotations

import pytest

from station.cli import tokens as commands
from tests.harness.station_commands import StationCommands

NOW = 1_795_500_000
DAY = 86_400


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """One value, the time; a test may change it."""
    now = [NOW]
    monkeypatch.setattr(commands, "unix_time", lambda: now[0])
    return now


def test_the_secret_is_all_that_is_printed_and_only_once(station: StationCommands, clock: list[int]) -> None:
    secret = station("tokens create", "ci", "--scope", "read").stdout.strip()
    assert secret.startswith("birthmark_")
    assert len(secret.split()) == 1
    for output in (station("tokens list").output, station("tokens list", "--json").output):
        assert "ci" in output
        assert secret not in output
    assert secret.encode() not in (station.data_dir / "registry.sqlite").read_bytes()


def test_programs_see_a_tokens_scopes_and_end(station: StationCommands, clock: list[int]) -> None:
    scopes = ("--scope", "read", "--scope", "admin", "--scope", "read")
    made = station.read_json("tokens create", "ci", *scopes, "--days", 7)
    assert (made["name"], made["scopes"], made["expires_at"]) == ("ci", ["admin", "read"], NOW + 7 * DAY)
    assert station.read_json("tokens create", "forever", *scopes)["expires_at"] is None


def test_the_list_says_which_are_valid_expired_or_revoked(station: StationCommands, clock: list[int]) -> None:
    for name, days in (("valid", ()), ("expired", ("--days", 1)), ("revoked", ())):
        station("tokens create", name, "--scope", "read", *days)
    assert station("tokens revoke", "revoked").stdout == "Revoked revoked.\n"
    clock[0] += DAY
    states = {line.split()[0]: line.split()[2] for line in station("tokens list").stdout.splitlines()}
    assert states == {"valid": "valid", "expired": "expired", "revoked": "revoked"}
    found = {token["name"]: token["valid"] for token in station.read_json("tokens list")}
    assert found == {"valid": True, "expired": False, "revoked": False}


def test_programs_see_that_a_token_is_revoked(station: StationCommands, clock: list[int]) -> None:
    station("tokens create", "ci", "--scope", "read")
    clock[0] += 5
    ended = station.read_json("tokens revoke", "ci")
    assert (ended["created_at"], ended["revoked_at"], ended["valid"]) == (NOW, NOW + 5, False)
    assert not {"token", "secret", "hash"} & ended.keys()


@pytest.mark.parametrize(
    "wrong", [(), ("--scope", "root"), ("--scope", "read", "--days", "0"), ("--scope", "read", "--days", "3651")]
)
def test_no_scope_an_unknown_one_or_an_odd_time_is_refused(station: StationCommands, wrong: tuple[str, ...]) -> None:
    assert station("tokens create", "ci", *wrong).exit_code == 2
    assert station.read_json("tokens list") == []
