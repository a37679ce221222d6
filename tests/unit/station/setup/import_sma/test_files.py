"""The public SMA's files are read whole or refused by name, and no error quotes what they hold."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)

from shared.errors import BirthmarkError
from station.setup.import_sma import files
from station.setup.import_sma.files import read
from tests.harness.public_sma import PublicSma, build


@pytest.fixture
def sma(tmp_path: Path) -> PublicSma:
    return build(tmp_path / "sma")


def refusal(sma: PublicSma) -> str:
    """Return the error's text, and check that it quotes no secret of the files."""
    with pytest.raises(BirthmarkError) as caught:
        read(sma.data)
    assert caught.value.code == "import.unreadable"
    assert all(secret not in str(caught.value) for secret in (*sma.secrets.values(), *sma.master_keys.values()))
    return caught.value.detail


def test_every_file_of_the_public_sma_is_read(sma: PublicSma) -> None:
    found = read(sma.data)
    devices = [row.device for row in found.devices if row.device]
    assert [row.name for row in found.devices] == [device["device_serial"] for device in sma.devices]
    assert [device.device_serial for device in devices] == [row.name for row in found.devices]
    assert [device.device_secret for device in devices] == list(sma.secrets.values())
    assert [device.is_blacklisted for device in devices] == [False, True, False, False]
    assert {table.table_id: table.master_key for table in found.tables.key_tables} == sma.master_keys
    assert found.intermediate_key.public_key() == found.intermediate.public_key()
    assert found.root_key is not None
    assert found.root_key.public_key() == found.root.public_key()
    assert len(found.earlier_intermediates) == 1


def test_the_root_key_and_the_certificate_of_phase_2_may_be_missing(sma: PublicSma) -> None:
    (sma.data / "root-ca.key").unlink()
    (sma.data.parent / "certs" / "ca_certificate.pem").unlink()
    found = read(sma.data)
    assert (found.root_key, found.earlier_intermediates) == (None, ())


@pytest.mark.parametrize("place", ["certs/ca_certificate.pem", "ca_certificate.pem", "../certs/ca_certificate.pem"])
def test_the_certificate_of_phase_2_is_found_wherever_it_was_kept(sma: PublicSma, place: str) -> None:
    was = sma.data.parent / "certs" / "ca_certificate.pem"
    (sma.data / "certs").mkdir()
    was.rename(sma.data / place)
    assert len(read(sma.data).earlier_intermediates) == 1


@pytest.mark.parametrize(
    "name", ["device_registry.json", "key_tables.json", "root-ca.crt", "intermediate-ca.crt", "intermediate-ca.key"]
)
@pytest.mark.parametrize("content", [None, b"", b"{", b"\xff\xfe", b"[" * 100_000], ids=["gone", "", "{", "ff", "[["])
def test_a_file_that_is_missing_or_damaged_is_named(sma: PublicSma, name: str, content: bytes | None) -> None:
    (sma.data / name).unlink()
    if content is not None:
        (sma.data / name).write_bytes(content)
    assert name in refusal(sma)


def test_a_wrong_or_unknown_field_is_told_by_its_place_alone_and_spoils_one_device(sma: PublicSma) -> None:
    secret = sma.secrets["TEST-CAMERA-001"]
    changes: list[tuple[dict[str, Any], str]] = [
        ({"device_secret": [secret]}, " at `$.device_secret`"),
        ({"device_secret": "", secret: 1}, ""),
    ]
    for change, place in changes:
        sma.devices[3].update(change)
        sma.change_registry(lambda devices: devices[3].update(sma.devices[3]))
        *whole, spoilt = read(sma.data).devices
        assert all(row.device is not None for row in whole)
        assert (spoilt.name, spoilt.device) == ("TEST-iOS-1763664889", None)
        assert spoilt.problem == f"it has a wrong or unknown field{place}"


def test_a_wrong_field_of_another_file_is_told_by_its_place_alone(sma: PublicSma) -> None:
    sma.change_tables(lambda tables: tables["key_tables"][9].update(master_key=[sma.master_keys[9]]))
    told = refusal(sma)
    assert told.startswith(f"{sma.data / 'key_tables.json'} at `$.key_tables[")
    assert told.endswith(".master_key`")


@pytest.mark.parametrize(
    "row", ["5", "null", "[]", "{}", "[" * 5000 + "]" * 5000, '{"device_serial": {}}', '{"\\ud800": 1}']
)
def test_a_row_that_is_no_device_has_a_number_for_a_name(sma: PublicSma, row: str) -> None:
    path = sma.data / "device_registry.json"
    path.write_text(f'{{"devices": [{row}]}}')
    try:
        [spoilt] = read(sma.data).devices
    except BirthmarkError as error:
        assert error.code == "import.unreadable"  # noqa: PT017 - what is no JSON spoils its file
    else:
        assert (spoilt.name, spoilt.device) == ("device 1", None)


def test_a_key_of_another_kind_or_an_encrypted_one_is_refused(sma: PublicSma) -> None:
    path = sma.data / "intermediate-ca.key"
    other = rsa.generate_private_key(65537, 2048).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    path.write_bytes(other)
    assert refusal(sma) == f"{path} is not an EC key"
    encryption = BestAvailableEncryption(b"passphrase")
    key = ec.generate_private_key(ec.SECP256R1())
    path.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption))
    assert "encrypted" in refusal(sma)


def test_no_file_is_read_beyond_its_limit(sma: PublicSma, monkeypatch: pytest.MonkeyPatch) -> None:
    size = (sma.data / "root-ca.crt").stat().st_size
    monkeypatch.setattr(files, "_PEM_BYTES", size - 1)
    assert refusal(sma).endswith(f"is larger than {size - 1} bytes")


@pytest.mark.timeout(30)
def test_a_pipe_in_a_files_place_is_refused_and_not_waited_for(sma: PublicSma) -> None:
    path = sma.data / "root-ca.crt"
    path.unlink()
    os.mkfifo(path)
    assert refusal(sma).endswith("root-ca.crt is no file")


def test_nothing_that_was_read_shows_a_secret(sma: PublicSma) -> None:
    found = read(sma.data)
    shown = repr(found) + repr(found.devices) + repr(found.tables)
    assert all(secret not in shown for secret in (*sma.secrets.values(), *sma.master_keys.values()))
