"""The state directory is private, and one program at a time uses it."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from device_agent.storage.state_dir import check_state_dir, lock_state_dir, prepare_state_dir
from runtime.owner import user_of
from shared.errors import BirthmarkError


def test_the_error_names_who_may_read_the_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tmp_path.chmod(0o700)
    check_state_dir(tmp_path)
    uid = tmp_path.stat().st_uid
    monkeypatch.setattr(os, "geteuid", lambda: uid + 1)
    with pytest.raises(BirthmarkError) as caught:
        check_state_dir(tmp_path)
    assert caught.value.code == "identity.permission"
    owner = user_of(uid, 0)
    assert f"belongs to {owner.name}; put `{owner.sudo}` before the command" in caught.value.detail


def test_a_directory_that_cannot_be_made_without_permission_has_its_own_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def forbidden(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "mkdir", forbidden)
    with pytest.raises(BirthmarkError) as caught:
        prepare_state_dir(tmp_path / "state")
    assert caught.value.code == "disk.permission"


def test_a_missing_directory_is_made_private_and_one_that_others_can_read_is_refused(tmp_path: Path) -> None:
    state = tmp_path / "state"
    with pytest.raises(BirthmarkError) as caught:
        check_state_dir(state)
    assert caught.value.code == "identity.missing"
    old = os.umask(0)
    try:
        prepare_state_dir(state)
    finally:
        os.umask(old)
    assert stat.S_IMODE(state.stat().st_mode) == 0o700
    prepare_state_dir(state)
    for mode in (0o710, 0o704):
        state.chmod(mode)
        with pytest.raises(BirthmarkError) as caught:
            prepare_state_dir(state)
        assert caught.value.code == "identity.state-dir-open"
        assert f"has mode {mode:04o}" in caught.value.detail


def test_the_state_directory_is_for_one_program_and_free_after_a_failure(tmp_path: Path) -> None:
    def fail_while_holding() -> None:
        with lock_state_dir(tmp_path):
            with pytest.raises(BirthmarkError) as caught, lock_state_dir(tmp_path):
                pass
            assert caught.value.code == "identity.state-dir-busy"
            raise RuntimeError("stopped")

    with pytest.raises(RuntimeError, match="stopped"):
        fail_while_holding()
    with lock_state_dir(tmp_path):
        pass


def link(lock: Path) -> None:
    lock.symlink_to(lock.with_name("elsewhere"))


def second_name(lock: Path) -> None:
    lock.with_name("elsewhere").touch()
    lock.hardlink_to(lock.with_name("elsewhere"))


@pytest.mark.parametrize("plant", [link, second_name, os.mkfifo])
def test_a_lock_that_is_no_file_of_its_own_is_neither_followed_nor_waited_for(
    tmp_path: Path, plant: Callable[[Path], None]
) -> None:
    plant(tmp_path / "lock")
    before = sorted(path.name for path in tmp_path.iterdir())
    with pytest.raises(BirthmarkError) as caught, lock_state_dir(tmp_path):
        raise AssertionError("it is locked")
    assert caught.value.code == "identity.lock-unfit"
    assert sorted(path.name for path in tmp_path.iterdir()) == before


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_a_lock_of_another_owner_is_refused_and_not_given_away(tmp_path: Path) -> None:
    (tmp_path / "lock").touch()
    os.chown(tmp_path / "lock", 12345, 12346)
    with pytest.raises(BirthmarkError) as caught, lock_state_dir(tmp_path):
        raise AssertionError("it is locked")
    assert caught.value.code == "identity.lock-unfit"
    assert (tmp_path / "lock").stat().st_uid == 12345
