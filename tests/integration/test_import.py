"""`birthmark-station import`: everything of the public SMA is imported and works here, or nothing is."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import os
import stat
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from shared.birthmark.derivation import token_key
from shared.birthmark.nuc_token import seal_token
from shared.types import MasterKey, NucHash, TableId, key_index
from station.cli import main
from station.provisioning.offline import ProvisioningRequest
from station.registry import audit_check, revocation
from station.registry.revocation import RevocationCode
from station.setup.open import open_station
from station.validation.certificates import CameraBundle
from station.validation.verdict import Reason
from tests.harness import openssl
from tests.harness.public_sma import PublicSma, build, new_key, replace_authority, with_derived_keys


@pytest.fixture
def sma(tmp_path: Path) -> PublicSma:
    return build(tmp_path / "sma")


def take_over(sma: PublicSma, target: Path, *options: str) -> Result:
    return CliRunner().invoke(main, ["import", str(sma.data), "--data-dir", str(target), *options])


def imported(sma: PublicSma, target: Path) -> dict[str, Any]:
    result = take_over(sma, target, "--json")
    assert result.exit_code == 0, result.stderr
    found: dict[str, Any] = json.loads(result.stdout)
    return found


def token_verdicts(sma: PublicSma, target: Path) -> dict[str, Reason]:
    """Return the new station's verdict on a token of each old camera."""

    async def ask() -> dict[str, Reason]:
        async with open_station(target) as station:
            verdicts = {}
            for device in sma.devices:
                serial, table = device["device_serial"], device["table_assignments"][1]
                key = token_key(MasterKey(bytes.fromhex(sma.master_keys[table])), key_index(77))
                nuc = NucHash(bytes.fromhex(sma.secrets[serial]))
                token = seal_token(key, os.urandom(12), nuc, TableId(table), key_index(77))
                verdicts[serial] = (await station.tokens.validate(token)).reason
            return verdicts

    return asyncio.run(ask())


def bundle_verdicts(sma: PublicSma, target: Path) -> dict[str, Reason]:
    async def ask() -> dict[str, Reason]:
        async with open_station(target) as station:
            verdicts = {}
            for device in sma.devices:
                sent = base64.b64encode(device["device_certificate"].encode()).decode()
                image = hashlib.sha256(b"image").hexdigest()
                text = f"{image}\n{sent}\n1\n\n".encode()
                signature = sma.keys[device["device_serial"]].sign(text, ec.ECDSA(hashes.SHA256()))
                bundle = CameraBundle(sent, image, 1, base64.b64encode(signature).decode())
                verdicts[device["device_serial"]] = (await station.certificates.validate(bundle)).reason
            return verdicts

    return asyncio.run(ask())


def test_the_old_cameras_pass_here_and_the_blacklisted_one_does_not(sma: PublicSma, tmp_path: Path) -> None:
    told = imported(sma, tmp_path / "new")
    assert (told["units"], told["revoked"], told["tables"], told["unregistered"]) == (4, 1, 10, 1)
    assert told["foreign_issuer_names"] == 3
    expected = {device["device_serial"]: Reason.VALID for device in sma.devices}
    expected["TEST-CAMERA-002"] = Reason.REVOKED
    assert token_verdicts(sma, tmp_path / "new") == expected
    assert bundle_verdicts(sma, tmp_path / "new") == expected


def test_units_keep_their_facts_and_a_blacklisting_can_be_taken_back(sma: PublicSma, tmp_path: Path) -> None:
    imported(sma, tmp_path / "new")
    show = ["--data-dir", str(tmp_path / "new"), "--json"]
    unit = json.loads(CliRunner().invoke(main, ["device", "TEST-CAMERA-002", *show]).stdout)
    assert unit["provisioned_at"] == "2025-11-15T20:24:41+00:00"
    assert (unit["state"], unit["revoked_code"], unit["revoked_reason"]) == (
        "revoked",
        "certificateHold",
        "10001 submissions",
    )
    assert unit["table_assignments"] == [0, 1, 9]
    again = CliRunner().invoke(main, ["reinstate", "TEST-CAMERA-002", "--reason", "a mistake", *show])
    assert again.exit_code == 0, again.stderr
    assert token_verdicts(sma, tmp_path / "new")["TEST-CAMERA-002"] is Reason.VALID


def test_the_imported_authority_signs_and_openssl_accepts_the_new_certificates(sma: PublicSma, tmp_path: Path) -> None:
    imported(sma, tmp_path / "new")

    async def provision() -> tuple[bytes, ...]:
        async with open_station(tmp_path / "new") as station:
            return (await station.offline_provisioner.provision(ProvisioningRequest("NEW-1"), "test")).chain

    chain = asyncio.run(provision())
    old = x509.load_pem_x509_certificate((sma.data / "intermediate-ca.crt").read_bytes())
    assert x509.load_der_x509_certificate(chain[1]) == old
    # Not strict: the old root has no authority key identifier, which strict verification requires.
    leaf, intermediate, root = (openssl.pem(tmp_path / str(number), der) for number, der in enumerate(chain))
    answer = openssl.run("verify", "-CAfile", root, "-untrusted", intermediate, leaf)
    assert answer.returncode == 0, answer.stderr


def test_the_imported_directory_is_private_and_its_log_whole(sma: PublicSma, tmp_path: Path) -> None:
    told = imported(sma, tmp_path / "new")
    modes = {stat.S_IMODE(path.stat().st_mode) & 0o077 for path in (tmp_path / "new").rglob("*") if path.is_file()}
    assert modes == {0}
    passphrase = Path(told["root_passphrase_file"]).read_bytes().strip()
    root_key = load_pem_private_key(Path(told["root_key"]).read_bytes(), passphrase)
    root = x509.load_pem_x509_certificate((sma.data / "root-ca.crt").read_bytes())
    assert root_key.public_key() == root.public_key()

    async def check() -> int:
        async with open_station(tmp_path / "new") as station, station.database.read() as connection:
            found = await audit_check.verify(connection)
        assert found.problems == ()
        return found.rows

    assert asyncio.run(check()) == 1 + 4 + 1 + 1  # initialised, each unit, one revoked, the summary


def test_no_secret_of_the_old_files_lies_in_the_new_directory(sma: PublicSma, tmp_path: Path) -> None:
    imported(sma, tmp_path / "new")
    stored = b"".join(path.read_bytes() for path in (tmp_path / "new").rglob("*") if path.is_file())
    nucs = [secret for serial, secret in sma.secrets.items() if "iOS" not in serial]  # that one is in its certificate
    for secret in (*nucs, *sma.master_keys.values()):
        assert bytes.fromhex(secret) not in stored
        assert secret.encode() not in stored
    assert (sma.data / "intermediate-ca.key").read_bytes() not in stored


def test_an_authority_whose_root_key_was_put_away_comes_over_too(sma: PublicSma, tmp_path: Path) -> None:
    (sma.data / "root-ca.key").unlink()
    assert imported(sma, tmp_path / "new")["root_key"] is None


def test_derived_keys_of_phase_2_are_checked(sma: PublicSma, tmp_path: Path) -> None:
    sma.change_tables(with_derived_keys)
    assert imported(sma, tmp_path / "new")["tables"] == 10


def test_an_existing_station_is_replaced_only_by_force_and_moved_aside(sma: PublicSma, tmp_path: Path) -> None:
    target = tmp_path / "new"
    imported(sma, target)
    kept = (target / "registry.sqlite").read_bytes()
    refused = take_over(sma, target)
    assert refused.exit_code == 1
    assert "[data.exists]" in refused.stderr
    assert (target / "registry.sqlite").read_bytes() == kept
    again = json.loads(take_over(sma, target, "--force", "--json").stdout)
    assert (Path(again["replaced"]) / "registry.sqlite").read_bytes() == kept


def refused(sma: PublicSma, tmp_path: Path) -> str:
    """Check that the import fails and leaves nothing behind. Returns its output."""
    before = sorted(path.name for path in tmp_path.iterdir())
    result = take_over(sma, tmp_path / "new")
    assert result.exit_code == 1, result.output
    assert sorted(path.name for path in tmp_path.iterdir()) == before
    assert all(secret not in result.stderr for secret in (*sma.secrets.values(), *sma.master_keys.values()))
    return result.stderr


def test_a_bad_device_is_named_and_nothing_is_imported(sma: PublicSma, tmp_path: Path) -> None:
    sma.change_registry(lambda devices: devices[0].update(table_assignments=[4, 5, 10]))
    told = refused(sma, tmp_path)
    assert "TEST-CAMERA-001: its tables are not three different ones" in told
    assert "[import.devices-unusable]" in told


def test_cameras_of_a_replaced_authority_pass_by_their_tokens_alone_and_for_good(
    sma: PublicSma, tmp_path: Path
) -> None:
    old_intermediate = (sma.data / "intermediate-ca.crt").read_bytes()
    replace_authority(sma)
    told = refused(sma, tmp_path)
    assert "3 of them have a certificate of an unknown authority" in told
    target = tmp_path / "new"
    result = take_over(sma, target, "--keep-unknown-authority", "--json")
    assert result.exit_code == 0, result.stderr
    assert json.loads(result.stdout)["unknown_authority"] == 3
    tokens = dict.fromkeys(sma.keys, Reason.VALID) | {"TEST-CAMERA-002": Reason.REVOKED}
    certificates = dict.fromkeys(sma.keys, Reason.UNTRUSTED) | {"TEST-iOS-1763664889": Reason.VALID}
    assert token_verdicts(sma, target) == tokens
    assert bundle_verdicts(sma, target) == certificates
    (target / "authority" / "earlier-2.pem").write_bytes(old_intermediate)
    assert bundle_verdicts(sma, target) == certificates, "not even when the old authority's certificate turns up"
    unit = json.loads(
        CliRunner().invoke(main, ["device", "TEST-CAMERA-001", "--data-dir", str(target), "--json"]).stdout
    )
    assert (unit["certificate_authority"], unit["state"]) == ("unknown", "provisioned")


def test_a_certificate_of_an_unknown_authority_is_on_no_revocation_list(sma: PublicSma, tmp_path: Path) -> None:
    replace_authority(sma)
    target = tmp_path / "new"
    take_over(sma, target, "--keep-unknown-authority")

    async def listed() -> int:
        async with open_station(target) as station:
            async with station.database.write() as connection:
                await revocation.revoke(connection, "TEST-CAMERA-001", RevocationCode.HOLD, "lost", 1_795_000_000)
                await revocation.revoke(connection, "TEST-iOS-1763664889", RevocationCode.HOLD, "lost", 1_795_000_000)
            return len(x509.load_der_x509_crl(await station.revocation_list.current()))

    assert asyncio.run(listed()) == 1, "only the telephone's, whose authority this station has"


def test_files_that_contradict_themselves_are_refused_whole(sma: PublicSma, tmp_path: Path) -> None:
    sma.change_tables(lambda tables: tables.update(total_tables=11))
    assert "[import.inconsistent]" in refused(sma, tmp_path)


def test_a_file_that_is_damaged_is_named(sma: PublicSma, tmp_path: Path) -> None:
    (sma.data / "key_tables.json").write_bytes(b"{")
    told = refused(sma, tmp_path)
    assert "[import.unreadable]" in told
    assert "key_tables.json" in told


def test_an_old_camera_that_signs_with_another_key_fails_here(sma: PublicSma, tmp_path: Path) -> None:
    imported(sma, tmp_path / "new")
    sma.keys["TEST-CAMERA-001"] = new_key()
    assert bundle_verdicts(sma, tmp_path / "new")["TEST-CAMERA-001"] is Reason.BAD_SIGNATURE
