"""The commands for units: what they find, print and refuse."""

from __future__ import annotations

import pytest

from tests.harness.station_commands import StationCommands


def test_an_empty_registry_says_what_to_do(station: StationCommands) -> None:
    assert station("devices").stdout == "No such units. Plug one in while `birthmark-station serve` runs.\n"
    assert station.read_json("devices") == []


def test_each_unit_is_a_line_with_what_is_known_of_it(station: StationCommands) -> None:
    for serial in ("CAM-1", "CAM-2"):
        station.provision(serial)
    heading, *lines = station("devices").stdout.splitlines()
    assert heading.split()[:3] == ["serial", "family", "state"]
    assert [line.split()[0] for line in lines] == ["CAM-2", "CAM-1"]
    assert "provisioned" in lines[0]
    assert lines[0].rstrip().endswith("station")


def test_a_narrow_terminal_cuts_neither_serial_nor_state(
    station: StationCommands, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("station.cli.common._PIPE_COLUMNS", 80)
    serial = "10000000abcdef01"
    station.provision(serial)
    lines = station("devices").stdout.splitlines()
    assert max(map(len, lines)) <= 80
    assert any(line.startswith(f"{serial} ") and " provisioned " in line for line in lines)


def test_options_choose_among_the_units(station: StationCommands) -> None:
    for serial in ("CAM-1", "CAM-2"):
        station.provision(serial)
    station("revoke", "CAM-1", "--reason", "lost")
    for options, serials in (
        (("--state", "revoked"), ["CAM-1"]),
        (("--search", "m-2"), ["CAM-2"]),
        (("--family", "another"), []),
        ((), ["CAM-2", "CAM-1"]),
    ):
        assert [unit["device_serial"] for unit in station.read_json("devices", *options)] == serials
    assert station("devices", "--state", "lost").exit_code == 2


def test_a_unit_is_found_by_its_serial_or_its_hash_and_neither_is_repeated(station: StationCommands) -> None:
    nuc_hash = station.provision("CAM-1")["nuc_hash"]
    by_serial = station("device", "CAM-1")
    assert "device serial           CAM-1" in by_serial.stdout
    assert "certificate serial" in by_serial.stdout
    assert nuc_hash not in by_serial.output
    for result in (
        station("device", "--nuc-hash", nuc_hash),
        station("device", "--nuc-hash-file", "-", stdin=nuc_hash),
    ):
        assert result.stdout == by_serial.stdout
    unknown = station("device", "--nuc-hash", "ab" * 32)
    assert (unknown.exit_code, "[registry.unknown-unit]" in unknown.stderr) == (1, True)


@pytest.mark.parametrize("arguments", [(), ("CAM-1", "--nuc-hash", "ab"), ("--nuc-hash", "ab", "--nuc-hash-file", "-")])
def test_a_unit_is_named_in_one_way(station: StationCommands, arguments: tuple[str, ...]) -> None:
    result = station("device", *arguments)
    assert (result.exit_code, "either SERIAL, --nuc-hash or --nuc-hash-file" in result.stderr) == (2, True)


def test_each_change_is_reported_in_a_sentence(station: StationCommands) -> None:
    station.provision("CAM-1")
    number = station.read_json("device", "CAM-1")["certificate_serial"]
    for command, sentence in (
        ("revoke", f"Revoked CAM-1, certificate {number} (certificateHold)."),
        ("reinstate", "Reinstated CAM-1: it is provisioned again."),
        ("release", f"Released CAM-1. Its certificate {number} stands for it no longer."),
    ):
        assert station(command, "CAM-1", "--reason", "a test").stdout == f"{sentence}\n"


def test_programs_get_the_changed_unit(station: StationCommands) -> None:
    station.provision("CAM-1")
    unit = station.read_json("revoke", "CAM-1", "--reason", "sto\x1blen", "--code", "keyCompromise")
    assert (unit["state"], unit["revoked_code"]) == ("revoked", "keyCompromise")
    assert "\x1b" not in unit["revoked_reason"]
    again = station("reinstate", "CAM-1", "--reason", "found")
    assert (again.exit_code, "[registry.revoked-for-good]" in again.stderr) == (1, True)


@pytest.mark.parametrize("command", ["release", "revoke", "reinstate"])
def test_a_change_needs_a_reason(station: StationCommands, command: str) -> None:
    station.provision("CAM-1")
    assert station(command, "CAM-1").exit_code == 2
    empty = station(command, "CAM-1", "--reason", " ")
    assert (empty.exit_code, "--reason is empty" in empty.stderr) == (1, True)
    assert station.read_json("device", "CAM-1")["state"] == "provisioned"


def test_commands_take_a_serial_number_in_whatever_case(station: StationCommands) -> None:
    station.provision("Cam-1")
    assert "device serial           Cam-1" in station("device", "CAM-1").stdout
    for command, word in (("revoke", "Revoked"), ("reinstate", "Reinstated"), ("release", "Released")):
        assert station(command, "cAM-1", "--reason", "a label prints capitals").stdout.startswith(f"{word} Cam-1")
