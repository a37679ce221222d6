"""The root's key is moved off the station whole or not at all, and overwrites nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from shared.errors import BirthmarkError
from station.setup.root_key import ROOT_KEY_NAME, check_target, move_root_key


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    directory = tmp_path / "data"
    directory.mkdir()
    (directory / ROOT_KEY_NAME).write_bytes(b"an encrypted key")
    return directory


@pytest.mark.parametrize("target", ["safe", "safe/my.key"])
def test_the_roots_key_is_moved_to_a_directory_or_a_file(data_dir: Path, tmp_path: Path, target: str) -> None:
    (tmp_path / "safe").mkdir()
    file = move_root_key(data_dir, tmp_path / target)
    assert file == tmp_path / "safe" / ("my.key" if "my" in target else ROOT_KEY_NAME)
    assert file.read_bytes() == b"an encrypted key"
    assert file.stat().st_mode & 0o777 == 0o600
    assert not (data_dir / ROOT_KEY_NAME).exists()


def test_a_move_that_was_cut_short_is_finished(data_dir: Path, tmp_path: Path) -> None:
    (tmp_path / "copy").write_bytes(b"an encrypted key")
    move_root_key(data_dir, tmp_path / "copy")
    assert not (data_dir / ROOT_KEY_NAME).exists()


@pytest.mark.parametrize("target", ["taken", "taken-link", "none/key", "data", "data/key", "around/key"])
def test_an_unusable_target_leaves_the_key_where_it_is(data_dir: Path, tmp_path: Path, target: str) -> None:
    (tmp_path / "taken").write_bytes(b"another key")
    (tmp_path / "taken-link").symlink_to(tmp_path / "none")
    (tmp_path / "around").symlink_to(data_dir)
    for attempt in (move_root_key, check_target):
        with pytest.raises(BirthmarkError) as raised:
            attempt(data_dir, tmp_path / target)
        assert raised.value.code == "data.root-key-unmoved"
    assert (data_dir / ROOT_KEY_NAME).read_bytes() == b"an encrypted key"
    assert (tmp_path / "taken").read_bytes() == b"another key"
    assert not (tmp_path / "none").exists()


def test_no_link_in_the_keys_place_is_followed(data_dir: Path, tmp_path: Path) -> None:
    (tmp_path / "shadow").write_bytes(b"somebody's secret")
    (data_dir / ROOT_KEY_NAME).unlink()
    (data_dir / ROOT_KEY_NAME).symlink_to(tmp_path / "shadow")
    with pytest.raises(BirthmarkError, match=r"data\.root-key-unmoved"):
        move_root_key(data_dir, tmp_path / "out")
    assert not (tmp_path / "out").exists()
