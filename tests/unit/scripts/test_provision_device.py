"""The door for `provision_device.py`: what it refuses, and that it prints no secret. The documents' lines are run by
tests/integration/test_source_lines.py."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from scripts import provision_device
from tests.harness.station_commands import run_station


@pytest.fixture(autouse=True)
def _station(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert run_station("init", "--data-dir", "data", "--ek-policy", "simulator").exit_code == 0


def run(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr(sys, "argv", ["provision_device.py", *arguments])
    return provision_device.main()


def test_the_file_holds_the_secrets_and_the_screen_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, "--serial", "DEVICE001", "--family", "Leica") == 0
    made = json.loads((tmp_path / "provisioned_devices" / "provisioning_DEVICE001.json").read_text())
    assert made["device_family"] == "Leica"
    said = capsys.readouterr()
    for secret in (made["nuc_hash"], made["device_private_key"], *made["master_keys"].values()):
        assert secret[:16] not in said.out + said.err


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("--serial", "DEVICE/1"), "identity.serial-invalid"),
        (("--serial", "DEVICE1", "--nuc-hash", "abcd"), "provisioning.nuc-hash-invalid"),
        (("--serial", "DEVICE1", "--nuc-hash", ""), "provisioning.nuc-hash-invalid"),
        (("--serial", "DEVICE1", "--family", "a\nb"), "provisioning.family-invalid"),
        (("--serial", "DEVICE1", "--data-dir", "none"), "data.missing"),
    ],
)
def test_what_cannot_be_has_a_clear_error_and_makes_no_file(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: tuple[str, ...],
    code: str,
) -> None:
    assert run(monkeypatch, *arguments) == 1
    assert f"[{code}]" in capsys.readouterr().err
    assert list(tmp_path.rglob("provisioning_*")) == []


def test_a_serial_number_is_provisioned_once(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, "--serial", "DEVICE001") == 0
    assert run(monkeypatch, "--serial", "DEVICE001") == 1
    assert "[registry.serial-taken]" in capsys.readouterr().err
