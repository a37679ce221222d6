"""TPM vendors' files are read unchanged, and an error names the file that cannot be read."""

from __future__ import annotations

from pathlib import Path

import pytest

from shared.errors import BirthmarkError
from station.attestation.ek import vendor_files
from station.attestation.ek.vendor_files import read_vendor_files


def refusal(source: Path) -> str:
    with pytest.raises(BirthmarkError) as caught:
        read_vendor_files(source)
    assert caught.value.code == "config.invalid"
    return caught.value.detail


def test_every_file_of_a_directory_is_read_as_it_is_but_hidden_ones_and_directories(tmp_path: Path) -> None:
    for name in ("b.pem", "a.der", ".DS_Store"):
        (tmp_path / name).write_bytes(name.encode() + b"\0no certificate")
    (tmp_path / "older").mkdir()
    (tmp_path / "older" / "c.pem").write_bytes(b"not read")
    found = read_vendor_files(tmp_path)
    assert found == {"a.der": b"a.der\0no certificate", "b.pem": b"b.pem\0no certificate"}
    assert list(found) == ["a.der", "b.pem"]


def test_one_file_is_read_by_its_name(tmp_path: Path) -> None:
    (tmp_path / "Vendor CA.crt").write_bytes(b"content")
    assert read_vendor_files(tmp_path / "Vendor CA.crt") == {"Vendor CA.crt": b"content"}


def test_an_empty_directory_gives_nothing(tmp_path: Path) -> None:
    assert read_vendor_files(tmp_path) == {}


def test_a_missing_path_is_named(tmp_path: Path) -> None:
    assert refusal(tmp_path / "none") == f"{tmp_path / 'none'}: No such file or directory"


def test_a_file_is_read_up_to_the_size_that_a_station_reads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vendor_files, "FILE_BYTES_MAX", 10)
    (tmp_path / "a.pem").write_bytes(bytes(10))
    assert read_vendor_files(tmp_path) == {"a.pem": bytes(10)}
    (tmp_path / "a.pem").write_bytes(bytes(11))
    assert refusal(tmp_path) == f"{tmp_path / 'a.pem'}: it is larger than 10 bytes"


def test_no_more_files_are_taken_than_a_station_reads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vendor_files, "FILES_MAX", 2)
    for name in ("a", "b"):
        (tmp_path / name).touch()
    assert len(read_vendor_files(tmp_path)) == 2
    (tmp_path / "c").touch()
    assert refusal(tmp_path) == f"{tmp_path} holds 3 files, more than 2"
