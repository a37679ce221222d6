"""The public SMA's files are checked against each other; the error names the first contradiction's serial number."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes

from shared.errors import BirthmarkError
from station.setup.import_sma import files
from station.setup.import_sma.checks import CheckedUnit, check_authority, check_tables, check_units
from tests.harness.certificates import chain_of_trust
from tests.harness.public_sma import PublicSma, build, with_derived_keys


@pytest.fixture
def sma(tmp_path: Path) -> PublicSma:
    return build(tmp_path / "sma")


def checked(sma: PublicSma) -> list[CheckedUnit]:
    found = files.read(sma.data)
    check_authority(found)
    return check_units(found, check_tables(found.tables))


def refusal(sma: PublicSma) -> str:
    """Return the error's text, and check that it quotes no secret of the files."""
    with pytest.raises(BirthmarkError) as caught:
        checked(sma)
    assert caught.value.code == "import.inconsistent"
    assert all(secret not in str(caught.value) for secret in (*sma.secrets.values(), *sma.master_keys.values()))
    return caught.value.detail


def test_consistent_files_are_accepted_in_their_order(sma: PublicSma) -> None:
    units = checked(sma)
    assert [unit.serial for unit in units] == list(sma.keys)
    assert [unit.nuc_hash.secret().hex() for unit in units] == list(sma.secrets.values())
    assert [unit.tables for unit in units] == [(4, 5, 7), (0, 1, 9), (2, 3, 8), (1, 4, 9)]
    assert [unit.certificate.public_key() for unit in units] == [key.public_key() for key in sma.keys.values()]


def test_times_are_utc_unless_they_name_a_zone(sma: PublicSma) -> None:
    sma.change_registry(lambda devices: devices[2].update(provisioned_at="2025-11-15T21:24:41+01:00"))
    first, second, third, _ = checked(sma)
    assert (first.provisioned_at, first.blacklisted_at) == (1763238281, None)
    assert (second.blacklisted_at, second.blacklist_reason) == (1764583200, "10001 submissions")
    assert third.provisioned_at == 1763238281


def test_a_blacklisting_without_time_or_reason_counts_from_the_beginning(sma: PublicSma) -> None:
    sma.change_registry(lambda devices: devices[1].update(blacklisted_at=None, blacklist_reason=None))
    unit = checked(sma)[1]
    assert (unit.blacklisted_at, unit.blacklist_reason) == (unit.provisioned_at, "blacklisted")


def test_master_keys_come_by_their_table(sma: PublicSma) -> None:
    sma.change_tables(with_derived_keys)
    keys = check_tables(files.read(sma.data).tables)
    assert {int(table): key.secret().hex() for table, key in keys.items()} == sma.master_keys


REGISTRY: dict[str, tuple[Callable[[list[dict[str, Any]]], object], str]] = {
    "a serial twice": (lambda d: d.append(d[0]), "TEST-CAMERA-001 have the same serial number"),
    "a NUC hash twice": (lambda d: d[1].update(nuc_hash=d[0]["nuc_hash"]), "have the same NUC hash or device secret"),
    "a certificate twice": (
        lambda d: d[1].update(
            device_certificate=d[0]["device_certificate"], device_public_key=d[0]["device_public_key"]
        ),
        "TEST-CAMERA-001 and TEST-CAMERA-002 have the same device key",
    ),
    "an odd serial": (lambda d: d[3].update(device_serial="a/b\n"), "unit 4: "),
    "no NUC hash": (lambda d: d[3].update(device_secret=""), "it has no NUC hash or device secret"),
    "a NUC hash of zeros": (lambda d: d[0].update(nuc_hash="00" * 32), "TEST-CAMERA-001: it has no NUC hash"),
    "two tables": (lambda d: d[0].update(table_assignments=[4, 5]), "its tables are not three different ones"),
    "a table twice": (lambda d: d[0].update(table_assignments=[4, 5, 5]), "its tables are not three different ones"),
    "a table that is not there": (lambda d: d[0].update(table_assignments=[4, 5, 10]), "ones of key_tables.json"),
    "tables the other file contradicts": (
        lambda d: d[0].update(table_assignments=[4, 5, 8]),
        "TEST-CAMERA-001: the registry and the key tables disagree",
    ),
    "tables the unit itself contradicts": (
        lambda d: d[3].update(key_table_indices=[1, 4, 8]),
        "TEST-iOS-1763664889: the registry and the key tables disagree",
    ),
    "no certificate": (lambda d: d[0].update(device_certificate=""), "its certificate or public key cannot be read"),
    "another's public key": (
        lambda d: d[0].update(device_public_key=d[1]["device_public_key"]),
        "TEST-CAMERA-001: its public key is not its certificate's",
    ),
    "a time that is none": (lambda d: d[3].update(provisioned_at="yesterday"), "a time is not in ISO 8601"),
    "a family that cannot be shown": (lambda d: d[3].update(device_family="a\nb"), "its family is not 1 to 64"),
    "no family": (lambda d: d[3].update(device_family=""), "its family is not 1 to 64"),
}


@pytest.mark.parametrize("what", REGISTRY)
def test_a_registry_that_contradicts_itself_is_refused(sma: PublicSma, what: str) -> None:
    change, told = REGISTRY[what]
    sma.change_registry(change)
    assert told in refusal(sma)


def _five_tables(content: dict[str, Any]) -> None:
    content["key_tables"] = content["key_tables"][:5]
    content["total_tables"] = 5


def _two_tables(content: dict[str, Any]) -> None:
    content["key_tables"] = content["key_tables"][:2]
    content["total_tables"] = 2


def _wrong_derived_key(content: dict[str, Any]) -> None:
    with_derived_keys(content, 1)
    content["derived_keys"]["0"]["999"] = "00" * 32


TABLES: dict[str, tuple[Callable[[dict[str, Any]], object], str]] = {
    "a short master key": (lambda t: t["key_tables"][9].update(master_key="ab"), "the master key of table 9"),
    "a master key that is no hexadecimal": (
        lambda t: t["key_tables"][9].update(master_key="z" * 64),
        "the master key of table 9",
    ),
    "a table id twice": (lambda t: t["key_tables"][9].update(table_id=8), "key table 8 is out of range or there twice"),
    "a table id out of range": (lambda t: t["key_tables"][9].update(table_id=2500), "key table 2500 is out of range"),
    "another number of tables": (lambda t: t.update(total_tables=11), "has 10 tables and says 11"),
    "too few tables": (_two_tables, "at least 3 are needed"),
    "tables of units missing": (_five_tables, "its tables are not three different ones of key_tables.json"),
    "a wrong derived key": (_wrong_derived_key, "a derived key of table 0 is not what its master key derives"),
    "a derived key of no table": (lambda t: t.update(derived_keys={"77": {"0": ""}}), "a derived key of table 77"),
}


@pytest.mark.parametrize("what", TABLES)
def test_key_tables_that_contradict_themselves_are_refused(sma: PublicSma, what: str) -> None:
    change, told = TABLES[what]
    sma.change_tables(change)
    assert told in refusal(sma)


# --- the authority ---


def test_certificates_of_an_authority_that_is_not_there_are_refused(sma: PublicSma) -> None:
    (sma.data.parent / "certs" / "ca_certificate.pem").unlink()
    assert refusal(sma) == ("TEST-iOS-1763664889: its certificate was not signed by an authority in the directory")


@pytest.mark.parametrize("name", ["intermediate-ca", "root-ca"])
def test_a_key_of_another_authority_is_refused(sma: PublicSma, tmp_path: Path, name: str) -> None:
    other = build(tmp_path / "other")
    (sma.data / f"{name}.key").write_bytes((other.data / f"{name}.key").read_bytes())
    assert refusal(sma) == f"{name}.key is not the key of {name}.crt"


def test_an_invalid_chain_is_refused(sma: PublicSma, tmp_path: Path) -> None:
    other = build(tmp_path / "other")
    (sma.data / "root-ca.crt").write_bytes((other.data / "root-ca.crt").read_bytes())
    (sma.data / "root-ca.key").unlink()
    assert refusal(sma) == "intermediate-ca.crt was not issued by root-ca.crt"


def test_an_intermediate_that_may_sign_nothing_is_refused(sma: PublicSma) -> None:
    leaf = chain_of_trust()
    found = replace(
        files.read(sma.data),
        root=leaf.intermediate,
        root_key=None,
        intermediate=leaf.station,
        intermediate_key=leaf.station_key,
    )
    with pytest.raises(BirthmarkError, match="may not sign certificates and revocation lists"):
        check_authority(found)


def test_an_intermediate_without_the_extensions_that_a_station_needs_is_refused(sma: PublicSma) -> None:
    found = files.read(sma.data)
    assert found.root_key is not None
    plain = x509.CertificateBuilder(
        found.root.subject,
        found.intermediate.subject,
        found.intermediate_key.public_key(),
        1,
        found.intermediate.not_valid_before_utc,
        found.intermediate.not_valid_after_utc,
    ).sign(found.root_key, hashes.SHA256())
    with pytest.raises(BirthmarkError, match="lacks a key usage or a subject key identifier"):
        check_authority(replace(found, intermediate=plain))


def test_a_checked_unit_shows_no_secret(sma: PublicSma) -> None:
    shown = repr(checked(sma))
    assert all(secret not in shown for secret in sma.secrets.values())
