"""`birthmark-agent status` and `reset`: what a unit tells of itself, and what a reset leaves."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from device_agent.cli.main import main
from device_agent.cli.status import Summary, summary
from tests.harness.certificates import SERIAL
from tests.harness.provisioned_unit import MASTER_KEYS, MODEL, UnitIdentity


@pytest.fixture
def state_dir(unit_identity: UnitIdentity, tmp_path: Path) -> Path:
    unit_identity.store(tmp_path)
    return tmp_path


def run(command: str, state_dir: Path, *arguments: str, typed: str = "") -> Result:
    return CliRunner().invoke(main, [command, "--state-dir", str(state_dir), *arguments], input=typed)


def der_digest(certificate: x509.Certificate) -> str:
    return hashlib.sha256(certificate.public_bytes(Encoding.DER)).hexdigest()


def test_a_program_reads_who_the_unit_is_and_where_its_certificates_are(
    state_dir: Path, unit_identity: UnitIdentity
) -> None:
    shown = run("status", state_dir, "--json")
    assert shown.exit_code == 0, shown.output
    told, chain = json.loads(shown.stdout), unit_identity.chain
    assert (told["state"], told["serial"], told["model"]) == ("provisioned", SERIAL, MODEL)
    assert told["table_ids"] == list(MASTER_KEYS)
    assert told["certificate_serial"] == f"{chain.device.serial_number:x}"
    assert told["certificate_sha256"] == der_digest(chain.device)
    assert told["root_sha256"] == der_digest(chain.root)
    assert x509.load_pem_x509_certificate(Path(told["certificate_file"]).read_bytes()) == chain.device
    loaded = x509.load_pem_x509_certificates(Path(told["chain_file"]).read_bytes())
    assert loaded == [chain.device, chain.intermediate, chain.root]


def test_a_person_reads_the_same_in_words(state_dir: Path) -> None:
    lines = run("status", state_dir).stdout.splitlines()
    assert f"{'serial':24}{SERIAL}" in lines
    assert f"{'table ids':24}0, 3, 7" in lines


def test_an_identity_that_the_station_does_not_know_of_is_issued_only(
    unit_identity: UnitIdentity, tmp_path: Path
) -> None:
    unit_identity.store(tmp_path, provisioned=False)
    shown = run("status", tmp_path, "--json")
    assert (shown.exit_code, json.loads(shown.stdout)["state"]) == (1, "issued")


def test_a_unit_without_an_identity_says_so_with_or_without_its_directory(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir(mode=0o700)
    for state in (tmp_path / "none", tmp_path / "empty"):
        shown = run("status", state, "--json")
        told = json.loads(shown.stdout)
        assert (shown.exit_code, told["state"], told["lacks"]) == (1, "unprovisioned", "nuc.map-missing")
        assert "nuc capture --guided" in told["advice"]
        said = run("status", state).stdout
        assert said.startswith("unprovisioned, waiting for the NUC map: there is no NUC map: ")
        assert told["advice"] in said
    nuc_map = tmp_path / "elsewhere"
    nuc_map.write_bytes(b"a map")
    shown = run("status", tmp_path / "empty", "--json", "--nuc-map", str(nuc_map))
    assert json.loads(shown.stdout) == {"state": "unprovisioned"}
    shown = run("status", tmp_path / "empty", "--nuc-map", str(nuc_map))
    assert shown.stdout.startswith("unprovisioned: plug it into a station")
    assert summary(None) == Summary("unprovisioned")


def test_a_damaged_identity_is_no_missing_one(state_dir: Path) -> None:
    (state_dir / "identity" / "chain.pem").write_bytes(b"")
    shown = run("status", state_dir)
    assert (shown.exit_code, shown.stdout) == (1, "")
    assert "[identity.damaged]" in shown.stderr


def test_a_reset_keeps_the_map_and_the_root_and_says_what_is_next(state_dir: Path) -> None:
    done = run("reset", state_dir, "--yes")
    assert done.exit_code == 0, done.output
    assert f"Removed the identity of {SERIAL}. Its NUC map is kept, sealed" in done.stdout
    assert sorted(path.name for path in state_dir.iterdir()) == ["kept-nuc-map", "lock", "root.pem"]
    assert json.loads(run("status", state_dir, "--json").stdout) == {"state": "unprovisioned"}


def test_a_reset_that_forgets_everything_leaves_nothing_and_says_what_it_costs(state_dir: Path) -> None:
    done = run("reset", state_dir, "--yes", "--forget-root", "--forget-nuc-map", "--json")
    assert json.loads(done.stdout) == {"removed": SERIAL, "root_forgotten": True, "nuc_map_kept": False}
    assert [path.name for path in state_dir.iterdir()] == ["lock"]
    again = run("reset", state_dir, "--yes", "--forget-root", "--forget-nuc-map")
    assert (again.exit_code, "[identity.missing]" in again.stderr) == (1, True)


def test_without_agreement_nothing_is_removed(state_dir: Path) -> None:
    before = sorted(state_dir.rglob("*"))
    asked = run("reset", state_dir, typed="n\n")
    assert (asked.exit_code, sorted(state_dir.rglob("*"))) == (1, before)
    assert "keep the NUC map, in" in asked.stderr
    assert "the sealed NUC map in" in run("reset", state_dir, "--forget-nuc-map", typed="n\n").stderr
    assert run("reset", state_dir, typed="y\n").exit_code == 0
