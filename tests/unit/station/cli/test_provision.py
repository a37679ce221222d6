"""`birthmark-station provision`: which options go together, what is printed, and how it exits."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from shared.errors import BirthmarkError
from station.cli import provision as commands
from station.provisioning.files import Outcome, Result
from tests.harness.station_commands import StationCommands

DONE = Result("CAM-1", Outcome.PROVISIONED, Path("provisioning_CAM-1.json"))
ALREADY = Result("CAM-2", Outcome.ALREADY, Path("provisioning_CAM-2.json"))
BUSY = Result("CAM-3", Outcome.FAILED, error=BirthmarkError("registry.unavailable"))
TAKEN = Result("CAM-4\x1b", Outcome.FAILED, error=BirthmarkError("registry.serial-taken"))


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ((), "either --serial or --bulk"),
        (("--serial", "CAM-1", "--bulk", "list.csv"), "either --serial or --bulk"),
        (("--bulk", "list.csv", "--family", "Pi"), "the list says everything"),
        (("--bulk", "list.csv", "--nuc-hash", "ab"), "the list says everything"),
        (("--bulk", "list.csv", "--csr", "a.csr"), "the list says everything"),
        (("--serial", "CAM-1", "--nuc-hash", "ab", "--nuc-hash-file", "-"), "--nuc-hash or --nuc-hash-file"),
    ],
)
def test_options_that_contradict_each_other_exit_with_two(
    station: StationCommands, arguments: tuple[str, ...], says: str
) -> None:
    result = station("provision", *arguments)
    assert (result.exit_code, says in result.stderr) == (2, True)


def test_an_empty_hash_file_is_a_mistake_and_no_wish_for_a_new_hash(station: StationCommands, tmp_path: Path) -> None:
    result = station("provision", "--serial", "CAM-1", "--nuc-hash-file", "-", "--output", tmp_path / "out", stdin="")
    assert (result.exit_code, "[provisioning.nuc-hash-invalid]" in result.stderr) == (1, True)
    assert not (tmp_path / "out").exists()


def test_one_provisioned_unit_is_printed_with_its_tables_and_its_file(station: StationCommands, tmp_path: Path) -> None:
    made = station.read_json("provision", "--serial", "CAM-1", "--output", tmp_path)
    assert (made["device_serial"], made["key_holder"], made["file"]) == (
        "CAM-1",
        "station",
        str(tmp_path / "provisioning_CAM-1.json"),
    )
    assert sorted(made["table_assignments"]) == [0, 1, 2]
    told = station("provision", "--serial", "CAM-2", "--output", tmp_path).stdout
    assert told.startswith("Provisioned CAM-2, tables ")
    assert told.endswith(f": {tmp_path / 'provisioning_CAM-2.json'}\n")


@pytest.mark.parametrize(
    ("results", "exit_code", "counts"),
    [
        ([DONE, ALREADY], 0, "1 provisioned, 1 already, 0 failed"),
        ([DONE, BUSY], 75, "1 provisioned, 0 already, 1 failed"),
        ([BUSY, TAKEN], 1, "0 provisioned, 0 already, 2 failed"),
        ([], 0, "0 provisioned, 0 already, 0 failed"),
    ],
    ids=["all_there", "try_again", "something_will_never_do", "empty_list"],
)
def test_a_list_exits_with_try_again_only_when_that_may_help(
    station: StationCommands,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    results: list[Result],
    exit_code: int,
    counts: str,
) -> None:
    async def provision_all(*_: object, **__: object) -> list[Result]:
        return results

    monkeypatch.setattr(commands, "_provision_all", provision_all)
    units = tmp_path / "units.csv"
    units.write_text("device_serial\n")
    told = station("provision", "--bulk", units)
    assert (told.exit_code, told.stdout.strip()) == (exit_code, counts)
    assert "\x1b" not in told.output
    as_json = station("provision", "--bulk", units, "--json")
    assert as_json.exit_code == exit_code
    rows = json.loads(as_json.stdout)
    assert [row["code"] for row in rows] == [result.error.code if result.error else None for result in results]
    for row in rows:
        assert (row["error"] or "") in told.stderr


def test_a_list_is_provisioned_and_read_again_as_already_there(station: StationCommands, tmp_path: Path) -> None:
    units = tmp_path / "units.csv"
    units.write_text("device_serial\nCAM-1\nCAM-2\n")
    arguments = ("--bulk", units, "--output", tmp_path / "out")
    assert station("provision", *arguments).stdout == "2 provisioned, 0 already, 0 failed\n"
    assert [row["outcome"] for row in station.read_json("provision", *arguments)] == ["already", "already"]
