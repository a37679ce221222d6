"""`birthmark-agent setup`: its questions and output. The tests of `device_agent.setup` check its changes."""

from __future__ import annotations

import importlib
import io
import json
import os
import subprocess
from pathlib import Path, PurePosixPath

import pytest
from click.testing import CliRunner, Result

from device_agent.cli.main import main
from device_agent.setup.steps import Answers, Outcome, Report, Step
from device_agent.setup.system import System

MODULE = importlib.import_module("device_agent.cli.setup")
STEPS = (Step("Boot settings", Outcome.DONE, "Two lines."), Step("NUC map", Outcome.MISSING, "None yet."))


class Setup:
    """Replaces `set_up`: records the answers, asks what the test says, and reports two steps."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.answers: Answers | None = None
        self.question = ""
        self.restart_needed = False
        self.root_known = False
        self.ran: list[list[str]] = []
        monkeypatch.setattr(MODULE, "set_up", self._set_up)
        monkeypatch.setattr(MODULE, "root_known", lambda _system: self.root_known)
        monkeypatch.setattr(subprocess, "run", lambda command, check: self.ran.append(command))

    def _set_up(self, _system: System, answers: Answers) -> Report:
        if self.question:
            answers.replace(self.question)
        self.answers = answers
        return Report(STEPS, True, self.restart_needed, ("`capture` a map.",))


@pytest.fixture
def setup(monkeypatch: pytest.MonkeyPatch) -> Setup:
    return Setup(monkeypatch)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "root.pem").touch()
    return tmp_path / "root.pem"


class Terminal(io.TextIOWrapper):
    def isatty(self) -> bool:
        return True


def run(prefix: Path, *arguments: object, typed: str | None = None) -> Result:
    """Run the command; `typed` is typed at a terminal, and without it there is none."""
    runner = CliRunner()
    words = ["setup", "--prefix", str(prefix), *map(str, arguments)]
    if typed is None:
        return runner.invoke(main, words)
    with pytest.MonkeyPatch.context() as patched:
        real = MODULE.sys

        class AtTerminal:
            stdin = Terminal(io.BytesIO())

            def __getattr__(self, name: str) -> object:
                return getattr(real, name)

        patched.setattr(MODULE, "sys", AtTerminal())
        return runner.invoke(main, words, input=typed)


def test_the_options_are_the_answers(setup: Setup, tmp_path: Path, root: Path) -> None:
    assert run(tmp_path, "--root", root).exit_code == 0
    assert setup.answers is not None
    assert setup.answers.root == root
    assert (setup.answers.usb_overlay, setup.answers.tpm_overlay) == (True, "tpm-slb9670")
    options = ("--no-usb-overlay", "--tpm-overlay", "none", "--config-txt", "/boot/other.txt", "--tpm", "simulator")
    assert run(tmp_path, "--trust-first-station", "--nuc-map", root, *options).exit_code == 0
    answers = setup.answers
    assert (answers.root, answers.trust_first_station, answers.nuc_map) == (None, True, root)
    assert (answers.usb_overlay, answers.tpm_overlay) == (False, None)
    assert answers.intermediate is None
    assert (answers.config_txt, answers.tpm) == (PurePosixPath("/boot/other.txt"), "simulator")
    assert run(tmp_path, "--root", root, "--intermediate", root).exit_code == 0
    assert setup.answers.intermediate == root


def test_setup_prints_each_step_and_what_is_next(setup: Setup, tmp_path: Path) -> None:
    shown = run(tmp_path, "--trust-first-station")
    assert shown.stdout == (
        "1. Boot settings: done. Two lines.\n2. NUC map: still missing. None yet.\n\nNext:\n  - `capture` a map.\n"
    )
    told = json.loads(run(tmp_path, "--trust-first-station", "--json").stdout)
    assert [step["outcome"] for step in told["steps"]] == ["done", "still missing"]
    assert (told["changed"], told["restart_needed"], told["next"]) == (True, False, ["`capture` a map."])


def test_a_root_that_is_known_is_not_asked_for_again(setup: Setup, tmp_path: Path) -> None:
    assert run(tmp_path).exit_code == 2
    assert "Missing option '--root'" in run(tmp_path, "--intermediate", __file__).stderr
    setup.root_known = True
    assert run(tmp_path).exit_code == 0
    assert setup.answers is not None
    assert setup.answers.root is None


@pytest.mark.parametrize(
    "arguments",
    [
        ("--tpm-overlay", "a b"),
        ("--tpm-overlay", "x\ndtoverlay=evil"),
        ("--tpm-overlay", ""),
        ("--config-txt", "config.txt"),
        ("--root", "/no/such/file"),
        ("--trust-first-station", "--root", __file__),
        ("--trust-first-station", "--intermediate", __file__),
        ("--intermediate", "/no/such/file"),
    ],
)
def test_options_that_make_no_sense_are_usage_errors_before_anything_is_changed(
    setup: Setup, tmp_path: Path, arguments: tuple[str, ...]
) -> None:
    setup.root_known = True
    assert run(tmp_path, *arguments).exit_code == 2
    assert setup.answers is None


def test_a_replacement_is_agreed_to_by_the_option_or_a_person_and_by_nobody_else(setup: Setup, tmp_path: Path) -> None:
    setup.root_known, setup.question = True, "Replace it?"
    refused = run(tmp_path)
    assert (refused.exit_code, "Replace it? Say so with --yes." in refused.stderr) == (2, True)
    assert run(tmp_path, typed="n\n").exit_code == 1
    assert setup.answers is None
    assert run(tmp_path, typed="y\n").exit_code == 0
    assert run(tmp_path, "--yes").exit_code == 0


def test_a_person_is_asked_for_the_root_until_it_is_there(setup: Setup, tmp_path: Path, root: Path) -> None:
    asked = run(tmp_path, typed=f"/no/such/file\n{root}\n")
    assert asked.exit_code == 0, asked.output
    assert asked.stderr.count("File with your station's root certificate") == 2
    assert setup.answers is not None
    assert setup.answers.root == root


@pytest.mark.parametrize(
    ("arguments", "typed", "restarted"),
    [
        ((), None, False),
        (("--reboot",), None, True),
        ((), "y\n", True),
        ((), "n\n", False),
        (("--no-reboot",), "y\n", False),
        (("--yes",), "y\n", False),
    ],
)
def test_setup_restarts_only_when_needed_and_wanted(
    setup: Setup, tmp_path: Path, arguments: tuple[str, ...], typed: str | None, restarted: bool
) -> None:
    setup.root_known = True
    assert run(tmp_path, *arguments, typed=typed).exit_code == 0
    assert setup.ran == []
    setup.restart_needed = True
    assert run(tmp_path, *arguments, typed=typed).exit_code == 0
    assert setup.ran == ([["systemctl", "reboot"]] if restarted else [])


def test_the_running_system_is_for_root_alone(setup: Setup, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    refused = run(Path("/"), "--trust-first-station")
    assert (refused.exit_code, "[setup.needs-root]" in refused.stderr) == (1, True)
    assert setup.answers is None
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert "No restart is needed." in run(Path("/"), "--trust-first-station").stdout
