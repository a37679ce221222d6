"""An export is what the public SMA's own files are: its cameras' tokens open with it, and it can be imported again."""

from __future__ import annotations

import asyncio
import json
import os
import re
import stat
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from runtime.clock import unix_time
from shared.birthmark.derivation import token_key
from shared.birthmark.nuc_token import open_token, seal_token
from shared.errors import BirthmarkError
from shared.types import MasterKey, NucHash, TableId, board_serial, key_index
from station.authority import birthmark_extensions
from station.config import AuthorityConfig
from station.provisioning.offline import ProvisionedUnit, ProvisioningRequest
from station.registry import audit, reservations, revocation
from station.registry.audit import Event
from station.setup import export_sma
from station.setup.export_sma import export
from station.setup.import_sma.takeover import take_over
from station.setup.open import open_registry, open_station
from tests.harness import issuing, openssl
from tests.harness.applicants import FIRST
from tests.harness.public_sma import PublicSma, add_extensions, build
from tests.harness.station_commands import run_station

FIELDS = {
    "device_serial",
    "table_assignments",
    "device_family",
    "provisioned_at",
    "device_secret",
    "key_table_indices",
    "device_certificate",
    "device_public_key",
    "is_blacklisted",
    "blacklisted_at",
    "blacklist_reason",
    "nuc_hash",
}
"""What the public SMA's loader takes; one more or another name, and its whole registry fails to load."""


@pytest.fixture
def station(tmp_path: Path) -> Path:
    made = run_station("init", "--data-dir", tmp_path / "station", "--ek-policy", "simulator")
    assert made.exit_code == 0, made.output
    return tmp_path / "station"


def provision(station: Path, *serials: str) -> dict[str, ProvisionedUnit]:
    async def run() -> dict[str, ProvisionedUnit]:
        async with open_station(station) as services:
            return {
                serial: await services.offline_provisioner.provision(ProvisioningRequest(serial), "test")
                for serial in serials
            }

    return asyncio.run(run())


def load(folder: Path, name: str) -> Any:
    return json.loads((folder / name).read_text())


def taken(source: Path, directory: Path, **options: Any) -> None:
    take_over(source, directory, "bench", AuthorityConfig(), force=False, root_passphrase="for the test", **options)


def devices(folder: Path) -> dict[str, dict[str, Any]]:
    return {device["device_serial"]: device for device in load(folder, "device_registry.json")["devices"]}


def test_a_units_token_opens_with_the_exported_tables_and_is_its_devices(station: Path, tmp_path: Path) -> None:
    units = provision(station, "CAM-1", "CAM-2")
    made = export(station, tmp_path / "sma")
    assert (made.units, made.revoked, made.tables, made.without_nuc_hash, made.unconfirmed) == (2, 0, 10, (), 0)
    tables = load(tmp_path / "sma", "key_tables.json")
    assert (tables["total_tables"], tables["tables_per_device"], len(tables["key_tables"])) == (10, 3, 10)
    assert tables.keys() == {"total_tables", "tables_per_device", "key_tables", "assigned_tables"}, "no derived keys"
    master_keys = {row["table_id"]: MasterKey(bytes.fromhex(row["master_key"])) for row in tables["key_tables"]}
    for serial, unit in units.items():
        device = devices(tmp_path / "sma")[serial]
        assert device["table_assignments"] == tables["assigned_tables"][serial] == list(unit.tables)
        assert unit.nuc_hash is not None
        table, index = unit.tables[1], key_index(77)
        token = seal_token(token_key(unit.master_keys[table], index), os.urandom(12), unit.nuc_hash, table, index)
        opened = open_token(token_key(master_keys[table], index), token)
        assert opened is not None
        assert opened.hex() == device["nuc_hash"] == device["device_secret"]


def test_the_registry_has_the_fields_that_the_public_sma_reads(station: Path, tmp_path: Path) -> None:
    provision(station, "CAM-1", "CAM-2")
    run_station("revoke", "--data-dir", station, "CAM-2", "--reason", "10001 submissions")
    before = unix_time()
    assert export(station, tmp_path / "sma").revoked == 1
    registry = load(tmp_path / "sma", "device_registry.json")
    assert (registry.keys(), registry["total_devices"]) == ({"devices", "total_devices", "last_updated"}, 2)
    first, second = registry["devices"]
    assert first.keys() == second.keys() == FIELDS
    assert first["device_serial"] == "CAM-1", "in the order of provisioning"
    assert (first["is_blacklisted"], first["blacklisted_at"], first["blacklist_reason"]) == (False, None, None)
    assert (second["is_blacklisted"], second["blacklist_reason"]) == (True, "10001 submissions")
    for text in (first["provisioned_at"], second["blacklisted_at"], registry["last_updated"]):
        assert text.endswith(".000000"), "UTC with microseconds, and no zone"
    assert registry["last_updated"][:13] >= export_sma._time(before)[:13]
    certificate = x509.load_pem_x509_certificate(first["device_certificate"].encode())
    assert certificate.subject.rfc4514_string()
    assert first["device_public_key"].startswith("-----BEGIN PUBLIC KEY-----")
    assert load(tmp_path / "sma", "submissions.json") == {
        "total_submissions": 0,
        "last_updated": None,
        "submissions": [],
    }


def test_the_authority_goes_along_and_everything_is_private(station: Path, tmp_path: Path) -> None:
    export(station, tmp_path / "sma")
    files = {path.name: path for path in (tmp_path / "sma").iterdir() if path.is_file()}
    assert files.keys() == {
        "device_registry.json",
        "key_tables.json",
        "submissions.json",
        "root-ca.crt",
        "intermediate-ca.crt",
        "intermediate-ca.key",
    }
    assert {stat.S_IMODE(path.stat().st_mode) for path in files.values()} == {0o600}
    assert stat.S_IMODE((tmp_path / "sma").stat().st_mode) == 0o700
    intermediate = x509.load_pem_x509_certificate(files["intermediate-ca.crt"].read_bytes())
    key = load_pem_private_key(files["intermediate-ca.key"].read_bytes(), None)
    assert key.public_key() == intermediate.public_key()
    intermediate.verify_directly_issued_by(x509.load_pem_x509_certificate(files["root-ca.crt"].read_bytes()))


def test_what_was_exported_can_be_imported(station: Path, tmp_path: Path) -> None:
    units = provision(station, "CAM-1", "CAM-2")
    run_station("revoke", "--data-dir", station, "CAM-2", "--reason", "lost")
    export(station, tmp_path / "sma")
    taken(tmp_path / "sma", tmp_path / "again")

    async def validate() -> dict[str, str]:
        async with open_station(tmp_path / "again") as services:
            found = {}
            for serial, unit in units.items():
                table = unit.tables[0]
                assert unit.nuc_hash is not None
                key = token_key(unit.master_keys[table], key_index(5))
                token = seal_token(key, os.urandom(12), unit.nuc_hash, table, key_index(5))
                found[serial] = (await services.tokens.validate(token)).reason.value
            return found

    assert asyncio.run(validate()) == {"CAM-1": "valid", "CAM-2": "revoked"}


def test_the_root_key_is_decrypted_into_it_as_the_command_says(station: Path, tmp_path: Path) -> None:
    sma = tmp_path / "sma"
    told = run_station("export", "--format", "sma", "--data-dir", station, "--output", sma).stdout
    [command] = re.findall(r"\((openssl .*)\)", told)
    key = station / "root-key.pem"
    given = {"root-key.pem": str(key), "root-ca.key": str(sma / "root-ca.key")}
    _, *words = (given.get(word, word) for word in command.split())
    assert openssl.run(*words, "-passin", f"file:{key.with_suffix('.passphrase')}").returncode == 0
    root = x509.load_pem_x509_certificate((sma / "root-ca.crt").read_bytes())
    assert load_pem_private_key((sma / "root-ca.key").read_bytes(), None).public_key() == root.public_key()
    taken(sma, tmp_path / "again")


def test_an_imported_sma_comes_out_as_it_went_in(tmp_path: Path) -> None:
    sma = build(tmp_path / "old")
    add_extensions(sma)
    taken(sma.data, tmp_path / "station")
    made = export(tmp_path / "station", tmp_path / "sma")
    assert (made.units, made.revoked, made.without_nuc_hash) == (4, 1, ())
    old, new = devices(sma.data), devices(tmp_path / "sma")
    for serial, device in old.items():
        for name in ("table_assignments", "device_family", "is_blacklisted", "blacklist_reason", "nuc_hash"):
            assert new[serial][name] == device[name], (serial, name)
        assert new[serial]["device_secret"] == sma.secrets[serial]
        assert new[serial]["key_table_indices"] == device["key_table_indices"]
        assert new[serial]["provisioned_at"][:19] == device["provisioned_at"][:19]
        assert new[serial]["device_certificate"] == device["device_certificate"]
    keys = {row["table_id"]: row["master_key"] for row in load(tmp_path / "sma", "key_tables.json")["key_tables"]}
    assert keys == sma.master_keys
    for name in ("root-ca.crt", "intermediate-ca.crt", "intermediate-ca.key"):
        assert (tmp_path / "sma" / name).read_bytes() == (sma.data / name).read_bytes()
    phase2 = sma.data.parent / "certs" / "ca_certificate.pem"
    assert (tmp_path / "sma" / "certs" / "ca_certificate.pem").read_bytes() == phase2.read_bytes()


def test_a_unit_whose_certificate_hides_no_nuc_hash_is_named(tmp_path: Path) -> None:
    sma: PublicSma = build(tmp_path / "old")  # its cameras' certificates are of the older kind
    taken(sma.data, tmp_path / "station")
    made = export(tmp_path / "station", tmp_path / "sma")
    assert made.without_nuc_hash == ("TEST-CAMERA-001", "TEST-CAMERA-002", "TEST-CAMERA-003")
    new = devices(tmp_path / "sma")
    assert (new["TEST-CAMERA-001"]["nuc_hash"], new["TEST-CAMERA-001"]["device_secret"]) == (None, "")
    assert new["TEST-iOS-1763664889"]["device_secret"] == sma.secrets["TEST-iOS-1763664889"]


def test_a_nuc_hash_that_is_not_the_units_own_is_not_believed(
    station: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    provision(station, "CAM-1")
    monkeypatch.setattr(birthmark_extensions, "decrypt_nuc", lambda *_: NucHash(b"\1" * 32))
    assert export(station, tmp_path / "sma").without_nuc_hash == ("CAM-1",)


def test_reserved_issued_and_released_units_stay_behind(station: Path, tmp_path: Path) -> None:
    provision(station, "CAM-1", "CAM-2")

    async def prepare() -> None:
        async with open_station(station) as services:
            now = unix_time()
            async with services.database.write() as connection:
                await revocation.release(connection, "CAM-2", "sold", now)
                await reservations.reserve_unit(connection, FIRST, 4711, (TableId(0), TableId(1), TableId(2)), now)
            await issuing.issue(services.issuance, other, now)

    other = replace(
        FIRST, serial=board_serial("ISSUED"), device_fingerprint=b"o", nuc_blind_index=b"o", ek_fingerprint=None
    )
    asyncio.run(prepare())
    made = export(station, tmp_path / "sma")
    assert (list(devices(tmp_path / "sma")), made.unconfirmed) == (["CAM-1"], 1)


def test_an_export_replaces_nothing_leaves_nothing_half_done_and_is_in_the_audit_log(
    station: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "there").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    for name in ("there", "link"):
        with pytest.raises(BirthmarkError, match=r"export\.exists"):
            export(station, tmp_path / name)
    (tmp_path / "file").write_text("")
    with pytest.raises(BirthmarkError, match=r"export\.unwritable"):
        export(station, tmp_path / "file" / "sma")

    async def fail(*_: object) -> None:
        raise BirthmarkError("registry.unavailable")

    with monkeypatch.context() as patched:
        patched.setattr(export_sma, "_record", fail)
        with pytest.raises(BirthmarkError, match=r"registry\.unavailable"):
            export(station, tmp_path / "sma")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "link", "station", "there"]
    export(station, tmp_path / "sma")

    async def log() -> list[str]:
        async with open_registry(station) as registry, registry.read() as connection:
            return [row.event for row in await audit.read(connection)]

    assert asyncio.run(log()).count(Event.EXPORTED.value) == 1
