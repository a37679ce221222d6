"""The authority's commands, as a person or a script uses them, on one real data directory."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sqlite3
import stat
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from shared.birthmark.derivation import token_key
from shared.birthmark.nuc_token import seal_token
from shared.types import MasterKey, NucHash, TableId, key_index
from station.cli import main
from station.config import CONFIG_NAME
from station.setup.open import open_station
from virtual.timeouts import TIMEOUT_SECONDS

NUC = "b44323ecb073dd28f0589ed5fd5fe08ed88af22aaf80655b8a06e59b1a86e15b"

Command = Callable[..., Result]


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    made = CliRunner().invoke(main, ["init", "--data-dir", str(tmp_path / "data"), "--tables", "10"])
    assert made.exit_code == 0, made.stderr
    return tmp_path / "data"


@pytest.fixture
def command(data_dir: Path) -> Command:
    """Run a command on the data directory; `stdin` is its input."""

    def run(*arguments: str | Path, stdin: str | None = None) -> Result:
        environment = {"BIRTHMARK_DATA_DIR": str(data_dir)}
        return CliRunner(env=environment).invoke(main, [str(argument) for argument in arguments], input=stdin)

    return run


def told(result: Result) -> Any:
    assert result.exit_code == 0, result.stderr
    return json.loads(result.stdout)


def failed(result: Result, code: str) -> None:
    assert result.exit_code == 1, result.output
    assert f"[{code}]" in result.stderr
    assert "Traceback" not in result.output


def content(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(path.read_text())
    return found


def valid(data_dir: Path, provisioning: dict[str, Any]) -> bool:
    """Whether a token that a camera makes from its provisioning file passes."""

    async def ask() -> bool:
        table = provisioning["table_assignments"][0]
        key = token_key(MasterKey(bytes.fromhex(provisioning["master_keys"][str(table)])), key_index(999))
        nuc = NucHash(bytes.fromhex(provisioning["nuc_hash"]))
        async with open_station(data_dir) as station:
            token = seal_token(key, os.urandom(12), nuc, TableId(table), key_index(999))
            return (await station.tokens.validate(token)).valid

    return asyncio.run(ask())


def test_a_provisioned_units_file_is_private_and_makes_tokens_that_pass(
    command: Command, data_dir: Path, tmp_path: Path
) -> None:
    unit = told(command("provision", "--serial", "CAM-1", "--output", tmp_path / "out", "--json"))
    file = tmp_path / "out" / "provisioning_CAM-1.json"
    assert unit["file"] == str(file)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
    assert [path.name for path in file.parent.iterdir()] == [file.name]
    assert valid(data_dir, content(file))


def test_no_secret_is_printed(command: Command, tmp_path: Path) -> None:
    plain = command("provision", "--serial", "CAM-1", "--output", tmp_path)
    as_json = command("provision", "--serial", "CAM-2", "--output", tmp_path, "--json")
    shown = command("device", "CAM-1", "--json").output + command("devices", "--json").output
    for serial in ("CAM-1", "CAM-2"):
        made = content(tmp_path / f"provisioning_{serial}.json")
        for secret in (made["nuc_hash"], *made["master_keys"].values()):
            assert secret not in plain.output + as_json.output + shown


def test_a_nuc_hash_comes_from_a_file_or_standard_input_or_the_command_line(command: Command, tmp_path: Path) -> None:
    (tmp_path / "nuc").write_text(NUC + "\n")
    hashes_given = [NUC, "11" * 32, "22" * 32]
    command("provision", "--serial", "A", "--nuc-hash-file", tmp_path / "nuc", "--output", tmp_path)
    command("provision", "--serial", "B", "--nuc-hash-file", "-", "--output", tmp_path, stdin=hashes_given[1] + "\n")
    command("provision", "--serial", "C", "--nuc-hash", hashes_given[2], "--output", tmp_path)
    found = [content(tmp_path / f"provisioning_{serial}.json")["nuc_hash"] for serial in "ABC"]
    assert found == hashes_given
    for serial, given in zip("ABC", hashes_given, strict=True):
        assert told(command("device", "--nuc-hash", given, "--json"))["device_serial"] == serial
        assert told(command("device", "--nuc-hash-file", "-", "--json", stdin=given))["device_serial"] == serial


def test_a_unit_with_its_own_key_gets_no_private_key(command: Command, tmp_path: Path) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    for serial, encoding in (("PEM-1", Encoding.PEM), ("DER-1", Encoding.DER)):
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, serial)])
        request = x509.CertificateSigningRequestBuilder(name).sign(key, hashes.SHA256())
        (tmp_path / "csr").write_bytes(request.public_bytes(encoding))
        result = command("provision", "--serial", serial, "--csr", tmp_path / "csr", "--output", tmp_path)
        assert result.exit_code == 0, result.stderr
        made = content(tmp_path / f"provisioning_{serial}.json")
        certificate = x509.load_pem_x509_certificate(made["device_certificate"].encode())
        assert certificate.public_key() == key.public_key()
        assert "device_private_key" not in made
        command("release", serial, "--reason", "the same key is used again")


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("provision", "--serial", "a/b"), "identity.serial-invalid"),
        (("provision", "--serial", "../../x"), "identity.serial-invalid"),
        (("provision", "--serial", "CAM-2", "--nuc-hash", "xyz"), "provisioning.nuc-hash-invalid"),
        (("provision", "--serial", "CAM-2", "--nuc-hash-file", "/dev/null"), "provisioning.nuc-hash-invalid"),
        (("provision", "--serial", "CAM-2", "--family", "a\nb"), "provisioning.family-invalid"),
        (("provision", "--serial", "CAM-2", "--csr", "/nowhere"), "provisioning.file-unusable"),
        (("provision", "--serial", "CAM-2", "--csr", "/dev/null"), "provisioning.csr-malformed"),
        (("provision", "--serial", "CAM-2", "--output", "/dev/null/x"), "provisioning.file-unusable"),
        (("provision", "--bulk", "/nowhere"), "provisioning.file-unusable"),
        (("provision", "--serial", "CAM-1"), "registry.serial-taken"),
        (("device", "CAM-2"), "registry.unknown-unit"),
        (("device", "--nuc-hash", NUC), "registry.unknown-unit"),
        (("device", "--nuc-hash", "xyz"), "provisioning.nuc-hash-invalid"),
        (("revoke", "CAM-2", "--reason", "x"), "registry.unknown-unit"),
        (("revoke", "CAM-1", "--reason", " "), "config.invalid"),
        (("reinstate", "CAM-1", "--reason", "x"), "registry.not-revoked"),
        (("release", "CAM-2", "--reason", "x"), "registry.unknown-unit"),
        (("tokens", "revoke", "nobody"), "access.token-unknown"),
    ],
)
def test_bad_input_has_a_code_and_changes_nothing(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], code: str
) -> None:
    monkeypatch.chdir(tmp_path)
    command("provision", "--serial", "CAM-1")
    before = told(command("audit", "--json"))
    failed(command(*arguments), code)
    assert told(command("audit", "--json")) == before


@pytest.mark.parametrize(
    "arguments",
    [
        ("provision",),
        ("provision", "--serial", "A", "--bulk", "x"),
        ("provision", "--bulk", "x", "--family", "F"),
        ("provision", "--serial", "A", "--nuc-hash", NUC, "--nuc-hash-file", "-"),
        ("device",),
        ("device", "A", "--nuc-hash", NUC),
        ("devices", "--state", "lost"),
        ("revoke", "A"),
        ("revoke", "A", "--reason", "x", "--code", "bored"),
        ("tokens", "create", "x", "--scope", "everything"),
        ("tokens", "create", "x"),
        ("audit", "--since", "yesterday"),
        ("audit", "verify", "--noted", "1:zz"),
    ],
)
def test_a_command_line_that_makes_no_sense_exits_with_two(command: Command, arguments: tuple[str, ...]) -> None:
    assert command(*arguments).exit_code == 2


def test_units_are_revoked_reinstated_and_released(command: Command, data_dir: Path, tmp_path: Path) -> None:
    command("provision", "--serial", "CAM-1", "--family", "Camera", "--output", tmp_path)
    command("provision", "--serial", "CAM-2", "--family", "Scanner", "--output", tmp_path)
    made = content(tmp_path / "provisioning_CAM-1.json")
    assert told(command("revoke", "CAM-1", "--reason", "lost", "--json"))["state"] == "revoked"
    assert not valid(data_dir, made)
    assert [unit["device_serial"] for unit in told(command("devices", "--state", "revoked", "--json"))] == ["CAM-1"]
    assert told(command("reinstate", "CAM-1", "--reason", "found", "--json"))["state"] == "provisioned"
    assert valid(data_dir, made)
    assert (
        told(command("revoke", "CAM-1", "--reason", "x", "--code", "keyCompromise", "--json"))["revoked_reason"] == "x"
    )
    failed(command("reinstate", "CAM-1", "--reason", "x"), "registry.revoked-for-good")
    assert told(command("release", "CAM-1", "--reason", "scrapped", "--json"))["state"] == "released"
    assert [unit["device_serial"] for unit in told(command("devices", "--json"))] == ["CAM-2"]
    assert [unit["device_serial"] for unit in told(command("devices", "--family", "Camera", "--json"))] == []
    assert "Scanner" in command("devices", "--search", "cam").stdout


def bulk(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "units.csv"
    path.write_text(text)
    return path


def test_a_list_is_provisioned_each_by_itself_and_again_only_what_failed(
    command: Command, data_dir: Path, tmp_path: Path
) -> None:
    units = bulk(tmp_path, f"device_serial,device_family,nuc_hash\nA,Camera,{NUC}\nB/,,\nC,,\nD,,zz\n")
    arguments = ("provision", "--bulk", units, "--output", tmp_path / "out", "--json")
    first = command(*arguments)
    assert first.exit_code == 1
    outcomes = [(row["device_serial"], row["outcome"], row["code"]) for row in json.loads(first.stdout)]
    assert outcomes == [
        ("A", "provisioned", None),
        ("B/", "failed", "identity.serial-invalid"),
        ("C", "provisioned", None),
        ("D", "failed", "provisioning.nuc-hash-invalid"),
    ]
    kept = {path: path.read_bytes() for path in (tmp_path / "out").iterdir()}
    units.write_text(f"device_serial,device_family,nuc_hash\nA,Camera,{NUC}\nB,,\nC,,\nD,,\n")
    second = told(command(*arguments))
    assert [row["outcome"] for row in second] == ["already", "provisioned", "already", "provisioned"]
    assert {path: path.read_bytes() for path in kept} == kept
    assert all(valid(data_dir, content(Path(row["file"]))) for row in second)


def test_a_file_of_a_unit_that_was_never_committed_is_moved_aside_not_lost(command: Command, tmp_path: Path) -> None:
    """A crash between the file and the commit leaves such a file."""
    (tmp_path / "provisioning_A.json").write_text('{"device_certificate": "of a unit that is not there"}')
    told(command("provision", "--serial", "A", "--output", tmp_path, "--json"))
    aside = [path for path in tmp_path.iterdir() if ".replaced-" in path.name]
    assert [path.read_text() for path in aside] == ['{"device_certificate": "of a unit that is not there"}']


def test_a_known_unit_whose_file_is_gone_is_a_failure_not_a_second_unit(command: Command, tmp_path: Path) -> None:
    units = bulk(tmp_path, "device_serial\nA\n")
    command("provision", "--bulk", units, "--output", tmp_path)
    (tmp_path / "provisioning_A.json").unlink()
    result = command("provision", "--bulk", units, "--output", tmp_path, "--json")
    assert result.exit_code == 1
    assert json.loads(result.stdout)[0]["code"] == "registry.serial-taken"


def test_a_malformed_list_is_refused_before_anything_is_made(command: Command, tmp_path: Path) -> None:
    units = bulk(tmp_path, "device_serial\nA\nA\n")
    failed(command("provision", "--bulk", units, "--output", tmp_path), "provisioning.file-unusable")
    assert told(command("devices", "--json")) == []


def test_a_list_interrupted_by_kill_is_finished_by_running_it_again(data_dir: Path, tmp_path: Path) -> None:
    serials = [f"CAM-{number}" for number in range(300)]
    units = bulk(tmp_path, "device_serial\n" + "\n".join(serials) + "\n")
    out = tmp_path / "out"
    command = [sys.executable, "-m", "station", "provision", "--data-dir", str(data_dir)]
    command += ["--bulk", str(units), "--output", str(out)]
    for least in (1, 60, 150):  # killed at three moments, also within a transaction
        with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
            while process.poll() is None and (not out.exists() or sum(1 for _ in out.glob("prov*.json")) < least):
                time.sleep(0.002)
            process.send_signal(signal.SIGKILL)
    finished = subprocess.run(
        [*command, "--json"], capture_output=True, text=True, timeout=TIMEOUT_SECONDS, check=False
    )
    assert finished.returncode == 0, finished.stdout + finished.stderr
    registered = sqlite3.connect(data_dir / "registry.sqlite")
    rows = registered.execute("SELECT units.serial, der FROM units JOIN certificates ON unit_id = units.id").fetchall()
    registered.close()
    assert sorted(serial for serial, _ in rows) == sorted(serials)
    for serial, der in rows:
        made = content(out / f"provisioning_{serial}.json")
        assert x509.load_pem_x509_certificate(made["device_certificate"].encode()).public_bytes(Encoding.DER) == der
    verified = subprocess.run(
        [sys.executable, "-m", "station", "audit", "verify", "--data-dir", data_dir],
        capture_output=True,
        text=True,
        timeout=TIMEOUT_SECONDS,
        check=False,
    )
    assert verified.returncode == 0, verified.stderr


def test_stats_count_units_tables_and_times(command: Command, tmp_path: Path) -> None:
    command("provision", "--bulk", bulk(tmp_path, "device_serial,device_family\nA,X\nB,X\nC,Y\n"), "--output", tmp_path)
    counts = told(command("stats", "--json"))
    assert counts["units"]["provisioned"] == 3
    assert counts["families"] == {"X": 2, "Y": 1}
    assert (counts["tables"]["total"], counts["tables"]["tables"]) == (9, 10)
    assert counts["provisioning_seconds"]["count"] == 3
    usage = told(command("tables", "stats", "--json"))
    assert sum(usage["assignments"].values()) == 9
    assert len(usage["assignments"]) == 10
    assert "key tables      10" in command("stats").stdout
    assert "mean 0.9" in command("tables", "stats").stdout


def test_a_token_is_shown_once_listed_without_its_secret_and_ended(command: Command) -> None:
    made = told(command("tokens", "create", "ci", "--scope", "read", "--scope", "provision", "--days", "30", "--json"))
    assert made["scopes"] == ["provision", "read"]
    listed = command("tokens", "list", "--json")
    assert made["token"] not in listed.stdout
    assert [(token["name"], token["valid"]) for token in told(listed)] == [("ci", True)]
    failed(command("tokens", "create", "ci", "--scope", "read"), "access.token-exists")
    assert not told(command("tokens", "revoke", "ci", "--json"))["valid"]
    assert "revoked" in command("tokens", "list").stdout


def test_the_audit_log_is_shown_and_checked(command: Command, data_dir: Path, tmp_path: Path) -> None:
    command("provision", "--serial", "CAM-1", "--output", tmp_path)
    command("revoke", "CAM-1", "--reason", "lost")
    rows = told(command("audit", "--json"))
    assert [row["event"] for row in rows] == ["initialised", "reserved", "issued", "provisioned", "revoked"]
    assert rows[-1]["detail"]["reason"] == "lost"
    assert len(told(command("audit", "--since", "1h", "--json"))) == 5
    assert told(command("audit", "--since", "2999-01-01", "--json")) == []
    assert "lost" in command("audit").stdout
    head = told(command("audit", "verify", "--json"))["head"]
    command("reinstate", "CAM-1", "--reason", "found")
    assert command("audit", "verify", "--noted", head).exit_code == 0
    with sqlite3.connect(data_dir / "registry.sqlite") as registry:
        registry.execute("DROP TRIGGER audit_no_update")
        registry.execute("UPDATE audit SET serial = 'CAM-9' WHERE seq = 3")
    registry.close()
    broken = command("audit", "verify")
    failed(broken, "audit.broken")
    assert "row 3 was changed" in broken.stderr
    assert json.loads(command("audit", "verify", "--json").stdout)["problems"][0]["first"] == 3


def test_a_changed_setting_is_in_the_audit_log_once(command: Command, data_dir: Path, tmp_path: Path) -> None:
    settings = data_dir / CONFIG_NAME
    settings.write_text(settings.read_text().replace("station_made_keys = true", "station_made_keys = false"))
    for _ in range(2):
        failed(command("provision", "--serial", "CAM-1", "--output", tmp_path), "provisioning.station-keys-off")
    rows = told(command("audit", "--json"))
    assert [row["event"] for row in rows] == ["initialised", "configured"]
    assert rows[1]["detail"]["settings"]["provisioning"]["station_made_keys"] is False


def test_the_derivation_vectors_need_no_data_directory() -> None:
    rows = told(CliRunner().invoke(main, ["derive-vectors", "--json"]))["rows"]
    assert rows[0]["derived_key"] == "d5bd264ea28a51c944e81eb31eab7d755623cd7bba2c0cf5253f2668ce870b38"
    assert len(CliRunner().invoke(main, ["derive-vectors"]).stdout.splitlines()) == len(rows)
