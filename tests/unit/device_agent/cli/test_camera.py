"""`birthmark-agent token`, `sign` and `export`, with a simulated TPM."""

from __future__ import annotations

import base64
import hashlib
import json
import stat
from pathlib import Path

import msgspec
import pytest
from click.testing import CliRunner, Result
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from device_agent.cli.main import main
from shared.birthmark.derivation import token_key
from shared.birthmark.nuc_token import NucToken, open_token
from shared.types import KeyIndex, TableId
from tests.harness.certificates import SERIAL
from tests.harness.provisioned_unit import MAP, MASTER_KEYS, MODEL, UnitIdentity

WRONG_BUNDLES = {"text": b"no JSON", "list": b"[1]", "deep": b"[" * 100_000, "long": b" " * ((4 << 20) + 1)}


@pytest.fixture(scope="module")
def state_dir(unit_identity: UnitIdentity, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("state")
    unit_identity.store(path)
    return path


def run(command: str, state_dir: Path, *arguments: object) -> Result:
    """The TPM, which is not the simulator in the state directory, is typed: a file's word is not enough for it."""
    tpm = json.loads((state_dir / "identity" / "identity.json").read_text())["tpm"]
    return CliRunner().invoke(main, [command, "--state-dir", str(state_dir), "--tpm", tpm, *map(str, arguments)])


def verify(unit_identity: UnitIdentity, signature: str, data: bytes) -> None:
    """Raises InvalidSignature."""
    key = unit_identity.chain.device.public_key()
    assert isinstance(key, ec.EllipticCurvePublicKey)
    key.verify(base64.b64decode(signature, validate=True), data, ec.ECDSA(hashes.SHA256()))


def test_a_token_is_printed_as_the_json_of_birthmark(state_dir: Path) -> None:
    printed = run("token", state_dir, "--table", 7, "--index", 42)
    assert printed.exit_code == 0, printed.output
    token = msgspec.json.decode(printed.stdout, type=NucToken)
    assert (token.table_id, token.key_index) == (7, 42)
    assert open_token(token_key(MASTER_KEYS[TableId(7)], KeyIndex(42)), token) == MAP.hash.secret()
    refused = run("token", state_dir, "--table", 8)
    assert (refused.exit_code, "[table.not-ours]" in refused.stderr) == (1, True)


def test_a_file_is_signed_whatever_its_size(state_dir: Path, tmp_path: Path, unit_identity: UnitIdentity) -> None:
    data = b"p" * ((1 << 20) + 1)
    (tmp_path / "picture").write_bytes(data)
    verify(unit_identity, run("sign", state_dir, tmp_path / "picture").stdout.strip(), data)
    told = json.loads(run("sign", state_dir, tmp_path / "picture", "--json").stdout)
    assert (told["file"], told["sha256"]) == (str(tmp_path / "picture"), hashlib.sha256(data).hexdigest())
    verify(unit_identity, told["signature"], data)


def test_a_bundle_is_printed_with_its_signature(state_dir: Path, tmp_path: Path, unit_identity: UnitIdentity) -> None:
    (tmp_path / "bundle").write_text('{"b": 1, "a": "ä"}')
    signed = json.loads(run("sign", state_dir, "--bundle", tmp_path / "bundle").stdout)
    signature = signed.pop("device_signature")
    assert signed == {"a": "ä", "b": 1}
    verify(unit_identity, signature, json.dumps(signed, sort_keys=True).encode())


@pytest.mark.parametrize("name", WRONG_BUNDLES)
def test_a_bundle_that_is_no_json_object_is_not_signed(state_dir: Path, tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(WRONG_BUNDLES[name])
    refused = run("sign", state_dir, "--bundle", tmp_path / name)
    assert (refused.exit_code, refused.stdout) == (1, "")
    assert "[bundle.malformed]" in refused.stderr
    assert str(tmp_path / name) in refused.stderr


def test_one_thing_is_signed_at_a_time_and_it_must_be_there(state_dir: Path, tmp_path: Path) -> None:
    assert run("sign", state_dir).exit_code == 2
    assert run("sign", state_dir, tmp_path / "a", "--bundle", tmp_path / "b").exit_code == 2
    for arguments in ((tmp_path / "none",), ("--bundle", tmp_path / "none"), (tmp_path,)):
        refused = run("sign", state_dir, *arguments)
        assert (refused.exit_code, "[file.unreadable]" in refused.stderr) == (1, True)


def test_an_export_is_private_and_says_what_is_not_in_it(
    state_dir: Path, tmp_path: Path, unit_identity: UnitIdentity
) -> None:
    output = tmp_path / "provisioning.json"
    written = run("export", state_dir, "--format", "provisioning-json", "--output", output, "--json")
    assert written.exit_code == 0, written.output
    assert stat.S_IMODE(output.stat().st_mode) == 0o600
    content = json.loads(output.read_bytes())
    assert (content["device_serial"], content["device_family"]) == (SERIAL, MODEL)
    assert content["table_assignments"] == list(MASTER_KEYS)
    assert content["nuc_hash"] == MAP.hash.secret().hex()
    chain = unit_identity.chain
    assert x509.load_pem_x509_certificate(content["device_certificate"].encode()) == chain.device
    others = x509.load_pem_x509_certificates(content["certificate_chain"].encode())
    assert others == [chain.intermediate, chain.root]
    assert load_pem_public_key(content["device_public_key"].encode()) == chain.device.public_key()
    assert set(content["not_exported"]) == {"device_private_key", "master_keys"}
    told = json.loads(written.stdout)
    assert told == {"output": str(output), "format": "provisioning-json", "not_exported": content["not_exported"]}
    for field in content["not_exported"]:
        assert f"not exported: {field}: " in written.stderr


def test_an_export_does_not_write_over_a_file_nor_show_the_secret(state_dir: Path, tmp_path: Path) -> None:
    output = tmp_path / "provisioning.json"
    shown = run("export", state_dir, "--format", "provisioning-json", "--output", output)
    assert "which is secret" in shown.stdout
    assert MAP.hash.secret().hex() not in shown.output
    before = output.read_bytes()
    refused = run("export", state_dir, "--format", "provisioning-json", "--output", output)
    assert (refused.exit_code, "[file.unwritable]" in refused.stderr) == (1, True)
    assert output.read_bytes() == before
