"""`birthmark-agent run`: its options, with faked sessions."""

from __future__ import annotations

import importlib
import json
import os
import signal
import stat
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from device_agent.cli.main import main
from device_agent.session.agent import Options
from device_agent.session.conversation import Progress
from device_agent.session.service import Timeouts
from device_agent.storage.identity import Identity
from device_agent.storage.lasting import check_lasting
from device_agent.storage.state_dir import lock_state_dir
from shared import limits
from shared.errors import BirthmarkError, ErrorCode
from shared.errors.findings import FINDINGS
from tests.harness.certificates import SERIAL
from tests.harness.provisioned_unit import UnitIdentity

MODULE = importlib.import_module("device_agent.cli.run")


class Sessions:
    """Replaces Agent, `serve` and `serve_once`: records their arguments, and ends as the test says."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, identity: Identity) -> None:
        self.options: Options | None = None
        self.findings: tuple[str, ...] = ()
        self.served: list[tuple[str, Path, Timeouts, bool]] = []
        self.during: Callable[[], object] = lambda: None
        self._identity = identity
        monkeypatch.setattr(MODULE, "Agent", self._agent)
        monkeypatch.setattr(MODULE, "serve_once", self._serve_once)
        monkeypatch.setattr(MODULE, "serve", self._serve)

    def _agent(
        self, options: Options, _tpm: object, say: object, findings: Callable[[], tuple[str, ...]], lacking: object
    ) -> object:
        assert callable(say)
        self.findings = findings()
        self.options = options
        return object()

    def _serve_once(self, port: Path, _agent: object, progress: Progress, waits: Timeouts) -> Identity:
        return self._ended("once", port, progress, waits, True)

    def _serve(
        self,
        port: Path,
        _agent: object,
        progress: Progress,
        _failed: object,
        waits: Timeouts,
        *,
        until_provisioned: bool,
    ) -> Identity:
        return self._ended("for ever", port, progress, waits, until_provisioned)

    def _ended(self, how: str, port: Path, progress: Progress, waits: Timeouts, until: bool) -> Identity:
        self.served.append((how, port, waits, until))
        progress(1, "Greeted")
        self.during()
        return self._identity


@pytest.fixture
def state_dir(tmp_path: Path) -> Path:
    return tmp_path / "state"


@pytest.fixture
def mounts(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The kernel's table of mounts. Everything is on a card, wherever this machine has its temporary files."""
    table = tmp_path / "mountinfo"
    table.write_text("25 1 179:2 / / rw - ext4 /dev/root rw\n")
    monkeypatch.setattr(MODULE, "check_lasting", lambda path: check_lasting(path, table))
    return table


@pytest.fixture
def sessions(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, unit_identity: UnitIdentity, mounts: Path) -> Sessions:
    identity = unit_identity.store(tmp_path / "provisioned").load()
    assert identity is not None
    return Sessions(monkeypatch, identity)


def run(state_dir: Path, *arguments: object, **environment: str) -> Result:
    words = ["run", "--port", "/dev/no-port", "--state-dir", str(state_dir), *map(str, arguments)]
    return CliRunner().invoke(main, words, env=environment)


def fail(code: ErrorCode) -> Callable[[], object]:
    def raise_it() -> None:
        raise BirthmarkError(code)

    return raise_it


def test_a_successful_session_is_reported_on_stderr_and_in_json(sessions: Sessions, state_dir: Path) -> None:
    ended = run(state_dir, "--once", "--json")
    assert ended.exit_code == 0, ended.output
    assert ended.stderr == "step 1 of 6: Greeted\n"
    told = json.loads(ended.stdout)
    assert (told["state"], told["serial"]) == ("provisioned", SERIAL)
    assert stat.S_IMODE(state_dir.stat().st_mode) == 0o700
    assert run(state_dir, "--once").stdout == ""


@pytest.mark.parametrize("kind", ["tmpfs", "overlay"])
def test_an_identity_that_power_off_would_lose_is_refused_unless_told(
    sessions: Sessions, state_dir: Path, mounts: Path, kind: str
) -> None:
    mounts.write_text(f"25 1 0:25 / / rw - {kind} {kind} rw\n")
    refused = run(state_dir, "--once")
    assert (refused.exit_code, sessions.served) == (1, [])
    assert "[identity.volatile]" in refused.stderr
    assert "--allow-volatile" in refused.stderr
    for told in (run(state_dir, "--once", "--allow-volatile"), run(state_dir, "--once", BIRTHMARK_ALLOW_VOLATILE="1")):
        assert told.exit_code == 0, told.output


def test_what_doctor_finds_goes_into_the_session(sessions: Sessions, state_dir: Path) -> None:
    assert run(state_dir, "--once").exit_code == 0
    assert "nuc.map-missing" in sessions.findings
    assert run(state_dir, "--once", "--nuc-map", __file__).exit_code == 0
    assert "nuc.map-missing" not in sessions.findings
    assert set(sessions.findings) <= set(FINDINGS)


def test_a_simulators_identity_may_be_in_memory_as_its_keys_are(
    sessions: Sessions, state_dir: Path, mounts: Path
) -> None:
    mounts.write_text("25 1 0:25 / / rw - tmpfs tmpfs rw\n")
    assert run(state_dir, "--once", "--tpm", "simulator").exit_code == 0


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("--once",), ("once", Timeouts(None, limits.STEP_SECONDS), True)),
        ((), ("for ever", Timeouts(None, limits.STEP_SECONDS), False)),
        (("--until-provisioned",), ("for ever", Timeouts(None, limits.STEP_SECONDS), True)),
        (("--once", "--wait", 2.5, "--step-seconds", 3), ("once", Timeouts(2.5, 3.0), True)),
    ],
)
def test_how_often_and_how_long_it_waits_is_said_by_options(
    sessions: Sessions, state_dir: Path, arguments: tuple[object, ...], expected: tuple[str, Timeouts, bool]
) -> None:
    assert run(state_dir, *arguments).exit_code == 0
    [(how, port, waits, until)] = sessions.served
    assert (port, (how, waits, until)) == (Path("/dev/no-port"), expected)


def test_the_environment_replaces_the_options(sessions: Sessions, state_dir: Path) -> None:
    by_options = run(
        *(state_dir, "--tpm", "simulator", "--nuc-map", "map", "--keep-nuc-map", "--serial", "s", "--model", "m"),
        *("--root-certificate", "root.pem", "--intermediate-certificate", "intermediate.pem"),
    )
    assert by_options.exit_code == 0, by_options.output
    expected = Options(
        *(state_dir, "simulator", Path("map"), True, "s", Path("root.pem"), "m", Path("intermediate.pem")),
        wait_for_map=True,
    )
    assert sessions.options == expected
    names = {"TPM": "simulator", "NUC_MAP": "map", "SERIAL": "s", "MODEL": "m"}
    names |= {"ROOT_CERTIFICATE": "root.pem", "INTERMEDIATE_CERTIFICATE": "intermediate.pem"}
    run(state_dir, "--keep-nuc-map", **{f"BIRTHMARK_{name}": value for name, value in names.items()})
    assert sessions.options == expected


@pytest.mark.parametrize(("code", "status"), [("link.lost", 75), ("nuc.map-missing", 1)])
def test_an_error_ends_it_with_its_status_and_nothing_on_stdout(
    sessions: Sessions, state_dir: Path, code: ErrorCode, status: int
) -> None:
    sessions.during = fail(code)
    ended = run(state_dir, "--once", "--json")
    assert (ended.exit_code, ended.stdout) == (status, "")
    assert ended.stderr.endswith(f"[{code}]\n")


def test_two_agents_do_not_share_a_state_directory(sessions: Sessions, state_dir: Path) -> None:
    state_dir.mkdir(mode=0o700)
    with lock_state_dir(state_dir):
        refused = run(state_dir, "--once")
    assert "[identity.state-dir-busy]" in refused.stderr
    assert sessions.served == []


def test_a_signal_to_end_ends_it_in_order_and_is_nobodys_afterwards(sessions: Sessions, state_dir: Path) -> None:
    before = signal.getsignal(signal.SIGTERM)
    sessions.during = lambda: os.kill(os.getpid(), signal.SIGTERM)
    assert run(state_dir).exit_code == 128 + signal.SIGTERM
    assert signal.getsignal(signal.SIGTERM) is before
    with lock_state_dir(state_dir):
        pass


def test_an_intermediate_without_its_root_is_a_usage_error(sessions: Sessions, state_dir: Path) -> None:
    ended = run(state_dir, "--intermediate-certificate", "intermediate.pem")
    assert (ended.exit_code, "needs --root-certificate" in ended.stderr) == (2, True)
    assert not state_dir.exists()


@pytest.mark.parametrize("arguments", [("--wait", "0"), ("--wait", "-1"), ("--step-seconds", "0"), ("--wait", "x")])
def test_a_wait_of_no_length_is_a_usage_error(state_dir: Path, arguments: tuple[str, str]) -> None:
    assert run(state_dir, *arguments).exit_code == 2
    assert not state_dir.exists()
