"""The public SMA's files are checked against each other; every device that fails is named, with the reason."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes

from shared.errors import BirthmarkError
from station.setup.import_sma import files
from station.setup.import_sma.checks import (
    CheckedUnit,
    CheckedUnits,
    check_authority,
    check_tables,
    check_units,
)
from tests.harness.certificates import chain_of_trust
from tests.harness.public_sma import PublicSma, add_extensions, build, replace_authority, with_derived_keys


@pytest.fixture
def sma(tmp_path: Path) -> PublicSma:
    return build(tmp_path / "sma")


def sorted_out(sma: PublicSma, *leave_out: str, keep_unknown_authority: bool = False) -> CheckedUnits:
    found = files.read(sma.data)
    check_authority(found)
    keys = check_tables(found.tables)
    return check_units(found, keys, leave_out=leave_out, keep_unknown_authority=keep_unknown_authority)


def checked(sma: PublicSma) -> list[CheckedUnit]:
    """Return the units of files that are in order."""
    found = sorted_out(sma)
    assert (found.left_out, found.refused) == ((), ())
    return list(found.accepted)


def refused(sma: PublicSma) -> list[tuple[str, str]]:
    """Return name and reason of every refused device, and check that none quotes a secret of the files."""
    found = sorted_out(sma)
    assert all(secret not in str(found.refused) for secret in (*sma.secrets.values(), *sma.master_keys.values()))
    assert len(found.accepted) + len(found.refused) == len(files.read(sma.data).devices)
    return [(one.name, one.reason) for one in found.refused]


def refusal(sma: PublicSma) -> str:
    """Return the error's text, and check that it quotes no secret of the files."""
    with pytest.raises(BirthmarkError) as caught:
        sorted_out(sma)
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


FIRST, SECOND, PHONE = "TEST-CAMERA-001", "TEST-CAMERA-002", "TEST-iOS-1763664889"
TABLES_WRONG = "its tables are not three different ones of key_tables.json"
DISAGREE = "the registry and the key tables disagree on its tables"
NO_HASH = "it has no NUC hash or device secret of 64 hexadecimal digits"
UNREADABLE_KEY = "its certificate or public key cannot be read"
FAMILY = "its family is not 1 to 64 printable characters"
SERIAL = "the board serial is not 1 to 64 letters, digits and . _ : - of ASCII"
FIELD = "it has a wrong or unknown field"
NO_TIME = "a time is not in the years 1970 to 9998"

REGISTRY: dict[str, tuple[Callable[[list[dict[str, Any]]], object], list[tuple[str, str]]]] = {
    "a serial twice": (
        lambda d: d.append(d[0]),
        [(FIRST, f"it has the same serial number as {FIRST}")] * 2,
    ),
    "a NUC hash twice": (
        lambda d: d[1].update(nuc_hash=d[0]["nuc_hash"]),
        [
            (FIRST, f"it has the same NUC hash or device secret as {SECOND}"),
            (SECOND, f"it has the same NUC hash or device secret as {FIRST}"),
        ],
    ),
    "a certificate twice": (
        lambda d: d[1].update(
            device_certificate=d[0]["device_certificate"], device_public_key=d[0]["device_public_key"]
        ),
        [(FIRST, f"it has the same device key as {SECOND}"), (SECOND, f"it has the same device key as {FIRST}")],
    ),
    "an odd serial": (
        lambda d: d[3].update(device_serial="a/b\n"),
        [("a/b", SERIAL)],
    ),
    "no serial at all": (
        lambda d: d[3].update(device_serial=""),
        [("device 4", SERIAL)],
    ),
    "no NUC hash": (lambda d: d[3].update(device_secret=""), [(PHONE, NO_HASH)]),
    "a NUC hash of zeros": (lambda d: d[0].update(nuc_hash="00" * 32), [(FIRST, NO_HASH)]),
    "two tables": (lambda d: d[0].update(table_assignments=[4, 5]), [(FIRST, TABLES_WRONG)]),
    "a table twice": (lambda d: d[0].update(table_assignments=[4, 5, 5]), [(FIRST, TABLES_WRONG)]),
    "a table that is not there": (lambda d: d[0].update(table_assignments=[4, 5, 10]), [(FIRST, TABLES_WRONG)]),
    "tables the other file contradicts": (lambda d: d[0].update(table_assignments=[4, 5, 8]), [(FIRST, DISAGREE)]),
    "tables the unit itself contradicts": (lambda d: d[3].update(key_table_indices=[1, 4, 8]), [(PHONE, DISAGREE)]),
    "no certificate": (lambda d: d[0].update(device_certificate=""), [(FIRST, UNREADABLE_KEY)]),
    "another's public key": (
        lambda d: d[0].update(device_public_key=d[1]["device_public_key"]),
        [(FIRST, "its public key is not its certificate's, or not an EC key")],
    ),
    "a time that is none": (lambda d: d[3].update(provisioned_at="yesterday"), [(PHONE, "a time is not in ISO 8601")]),
    "a time before all time": (lambda d: d[3].update(provisioned_at="1969-12-31T23:59:59"), [(PHONE, NO_TIME)]),
    "a time after all time": (lambda d: d[3].update(provisioned_at="9999-12-31T23:59:59-23:59"), [(PHONE, NO_TIME)]),
    "a time that not every zone has": (
        lambda d: d[1].update(is_blacklisted=True, blacklisted_at="9999-12-31T23:59:59"),
        [(SECOND, NO_TIME)],
    ),
    "a family that cannot be shown": (lambda d: d[3].update(device_family="a\nb"), [(PHONE, FAMILY)]),
    "no family": (lambda d: d[3].update(device_family=""), [(PHONE, FAMILY)]),
    "a field of another kind": (
        lambda d: d[3].update(device_secret=[d[0]["nuc_hash"]]),
        [(PHONE, f"{FIELD} at `$.device_secret`")],
    ),
    "an unknown field": (lambda d: d[0].update({d[0]["nuc_hash"]: 1}), [(FIRST, FIELD)]),
    "a missing field": (lambda d: d[0].pop("device_family"), [(FIRST, "it has no device_family")]),
    "no device": (lambda d: cast("list[Any]", d).append("device"), [("device 5", FIELD)]),
}


@pytest.mark.parametrize("what", REGISTRY)
def test_a_device_that_contradicts_the_rest_is_refused_alone(sma: PublicSma, what: str) -> None:
    change, told = REGISTRY[what]
    sma.change_registry(change)
    assert refused(sma) == told


def test_all_bad_devices_are_named_at_once(sma: PublicSma) -> None:
    def spoil(devices: list[dict[str, Any]]) -> None:
        devices[0]["table_assignments"] = [4, 5]
        devices[1]["device_certificate"] = ""
        devices[2]["unknown"] = 1

    sma.change_registry(spoil)
    assert refused(sma) == [(FIRST, TABLES_WRONG), (SECOND, UNREADABLE_KEY), ("TEST-CAMERA-003", FIELD)]
    assert [unit.serial for unit in sorted_out(sma).accepted] == [PHONE]


def test_certificates_with_one_serial_number_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(x509, "random_serial_number", lambda: 4711)
    told = refused(build(tmp_path / "sma"))
    assert len(told) == 4
    assert told[0] == (FIRST, f"it has the same serial number in its certificate as {SECOND}")


def test_who_is_left_out_is_not_checked_and_makes_nothing_ambiguous(sma: PublicSma) -> None:
    sma.change_registry(lambda d: d[1].update(nuc_hash=d[0]["nuc_hash"]))
    found = sorted_out(sma, SECOND.lower())
    assert [one.name for one in found.left_out] == [SECOND]
    assert found.refused == ()
    assert len(found.accepted) == 3
    sma.change_registry(lambda d: d[3].update(device_serial=5))
    assert [one.name for one in sorted_out(sma, "device 4", SECOND).left_out] == [SECOND, "device 4"]


def test_a_device_that_is_left_out_but_not_there_is_a_mistake(sma: PublicSma) -> None:
    with pytest.raises(BirthmarkError, match=r"TEST-CAMERA-0001 \[import\.no-such-device\]"):
        sorted_out(sma, "TEST-CAMERA-0001", FIRST)


def test_a_certificate_of_a_replaced_authority_is_told_apart(sma: PublicSma) -> None:
    replace_authority(sma)
    found = sorted_out(sma)
    assert [one.name for one in found.refused if one.unknown_authority] == [FIRST, SECOND, "TEST-CAMERA-003"]
    assert [unit.serial for unit in found.accepted] == [PHONE], "that of phase 2 was kept"
    kept = sorted_out(sma, keep_unknown_authority=True)
    assert [(unit.serial, unit.known_authority) for unit in kept.accepted] == [
        (FIRST, False),
        (SECOND, False),
        ("TEST-CAMERA-003", False),
        (PHONE, True),
    ]
    assert kept.refused == ()


def test_a_certificate_tells_whether_its_units_tables_had_other_keys(sma: PublicSma) -> None:
    assert not any(unit.other_tables for unit in checked(sma)), "they carry no Birthmark extensions, and tell nothing"
    add_extensions(sma)
    assert not any(unit.other_tables for unit in checked(sma))
    sma.change_tables(lambda tables: tables["key_tables"][4].update(master_key="ab" * 32))
    assert [unit.serial for unit in checked(sma) if unit.other_tables] == [FIRST]


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
    "a wrong derived key": (_wrong_derived_key, "a derived key of table 0 is not what its master key derives"),
    "a derived key of no table": (lambda t: t.update(derived_keys={"77": {"0": ""}}), "a derived key of table 77"),
}


@pytest.mark.parametrize("what", TABLES)
def test_key_tables_that_contradict_themselves_are_refused(sma: PublicSma, what: str) -> None:
    change, told = TABLES[what]
    sma.change_tables(change)
    assert told in refusal(sma)


def test_units_whose_tables_are_missing_are_refused(sma: PublicSma) -> None:
    sma.change_tables(_five_tables)
    assert refused(sma) == [(serial, TABLES_WRONG) for serial in sma.keys]


# --- the authority ---


def test_certificates_of_an_authority_that_is_not_there_are_refused(sma: PublicSma) -> None:
    (sma.data.parent / "certs" / "ca_certificate.pem").unlink()
    assert refused(sma) == [(PHONE, "its certificate was not signed by an authority in the directory")]


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
