"""`birthmark-agent doctor`, on this machine, with findings of the test's choice."""

from __future__ import annotations

import importlib
import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from device_agent.cli.main import main
from device_agent.doctor.checks import Finding, Outcome
from device_agent.doctor.report import TpmTimes

MODULE = importlib.import_module("device_agent.cli.doctor")
FINE = Finding("Clock", Outcome.FINE, "It shows 2027.")
NOTE = Finding("Power", Outcome.NOTE, "The supply voltage is too low.", "board.undervoltage", "Use another cable.")
PROBLEM = Finding("NUC map", Outcome.PROBLEM, "There is no NUC map.", "nuc.map-missing", "Capture one.")


def doctor(*arguments: object) -> Result:
    return CliRunner().invoke(main, ["doctor", *map(str, arguments)])


def finding(monkeypatch: pytest.MonkeyPatch, *findings: Finding) -> None:
    monkeypatch.setattr(MODULE, "examine", lambda _machine: findings)
    times = TpmTimes("IFX", "7.85", (("seal 32 bytes", 0.2),))
    monkeypatch.setattr(MODULE.form, "measure", lambda _machine: times)


def test_a_problem_is_told_with_what_to_do_and_ends_with_1(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    finding(monkeypatch, FINE, NOTE, PROBLEM)
    ended = doctor("--state-dir", tmp_path)
    assert ended.exit_code == 1
    assert ended.output.splitlines() == [
        "ok      Clock: It shows 2027.",
        "note    Power: The supply voltage is too low. [board.undervoltage]",
        "          Use another cable.",
        "PROBLEM NUC map: There is no NUC map. [nuc.map-missing]",
        "          Capture one.",
        "",
        "1 problem.",
    ]


def test_a_note_alone_is_in_nobodys_way(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    finding(monkeypatch, FINE, NOTE)
    ended = doctor("--state-dir", tmp_path)
    assert (ended.exit_code, ended.output.splitlines()[-1]) == (0, "Nothing is in the way.")


def test_a_program_reads_the_same(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    finding(monkeypatch, FINE, PROBLEM)
    ended = doctor("--state-dir", tmp_path, "--json")
    assert ended.exit_code == 1
    told = json.loads(ended.stdout)
    assert [(one["what"], one["outcome"], one["code"]) for one in told["findings"]] == [
        ("Clock", "fine", ""),
        ("NUC map", "problem", "nuc.map-missing"),
    ]


def test_the_form_is_a_new_file_or_on_the_screen(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    finding(monkeypatch, FINE)
    path = tmp_path / "report.md"
    ended = doctor("--state-dir", tmp_path, "--report", path)
    assert ended.exit_code == 0, ended.output
    assert path.read_text().startswith("# Birthmark hardware report\n")
    printed = doctor("--state-dir", tmp_path, "--report", "-").output
    assert [line for line in printed.splitlines() if "| time |" not in line][:3] == path.read_text().splitlines()[:3]
    again = doctor("--state-dir", tmp_path, "--report", path)
    assert (again.exit_code, "[file.unwritable]" in again.stderr) == (1, True)


def test_on_this_machine_it_ends_without_a_traceback(tmp_path: Path) -> None:
    ended = doctor("--state-dir", tmp_path / "none", "--json")
    assert ended.exit_code in (0, 1)
    assert len(json.loads(ended.stdout)["findings"]) == 12
