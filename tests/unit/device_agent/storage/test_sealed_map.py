"""The NUC map file is read whole or refused; a sealed one opens with its key only."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from device_agent.storage.sealed_map import NucMap, open_map, read_nuc_map, seal_map
from shared import limits
from shared.errors import BirthmarkError

MAP = NucMap(b"a sensor's map" * 10)
KEY = bytes(range(32))


def test_the_nuc_hash_is_the_sha_256_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "map"
    path.write_bytes(MAP.data)
    assert read_nuc_map(path) == MAP
    assert read_nuc_map(path).hash.secret() == hashlib.sha256(MAP.data).digest()


def test_the_nuc_hash_is_computed_once() -> None:
    assert MAP.hash is MAP.hash


def test_each_invalid_map_has_its_own_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "NUC_MAP_BYTES", 100)
    (tmp_path / "empty").touch()
    (tmp_path / "directory").mkdir()
    (tmp_path / "long").write_bytes(bytes(101))
    (tmp_path / "longest").write_bytes(bytes(100))
    for name, code in (
        ("none", "nuc.map-missing"),
        ("empty", "nuc.map-empty"),
        ("long", "nuc.map-too-large"),
        ("directory", "nuc.map-unreadable"),
    ):
        with pytest.raises(BirthmarkError) as caught:
            read_nuc_map(tmp_path / name)
        assert caught.value.code == code
        assert str(tmp_path / name) in caught.value.detail
    assert len(read_nuc_map(tmp_path / "longest").data) == 100


def test_a_map_does_not_show_its_bytes() -> None:
    assert "sensor" not in repr(MAP)
    assert str(len(MAP.data)) in repr(MAP)


def test_a_sealed_map_opens_with_its_key_and_is_other_bytes_each_time(tmp_path: Path) -> None:
    one, other = seal_map(MAP, KEY), seal_map(MAP, KEY)
    assert one != other
    assert len(one) == 12 + len(MAP.data) + 16
    (tmp_path / "sealed").write_bytes(one)
    assert open_map(tmp_path / "sealed", KEY) == MAP


def test_no_changed_short_or_missing_file_and_no_other_key_opens(tmp_path: Path) -> None:
    sealed = seal_map(MAP, KEY)
    path = tmp_path / "sealed"
    for at in (0, 12, len(sealed) - 1):
        path.write_bytes(sealed[:at] + bytes([sealed[at] ^ 1]) + sealed[at + 1 :])
        _assert_damaged(path, KEY)
    for length in (0, 11, 12, 28, len(sealed) - 1):
        path.write_bytes(sealed[:length])
        _assert_damaged(path, KEY)
    path.write_bytes(sealed)
    _assert_damaged(path, KEY[::-1])
    _assert_damaged(path, b"short")
    path.unlink()
    _assert_damaged(path, KEY)


def _assert_damaged(path: Path, key: bytes) -> None:
    with pytest.raises(BirthmarkError) as caught:
        open_map(path, key)
    assert (caught.value.code, caught.value.detail) == ("identity.damaged", str(path))
