"""The state directory is private, one program at a time uses it, and root acts in it as its owner."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from device_agent.storage.state_dir import (
    as_owner_of,
    check_state_dir,
    lock_state_dir,
    prepare_state_dir,
    user_name,
)
from shared.errors import BirthmarkError

NOBODY = 65534
root_only = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give directories away")


def test_the_error_names_who_may_read_the_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tmp_path.chmod(0o700)
    check_state_dir(tmp_path)
    uid = tmp_path.stat().st_uid
    monkeypatch.setattr(os, "geteuid", lambda: uid + 1)
    with pytest.raises(BirthmarkError) as caught:
        check_state_dir(tmp_path)
    assert caught.value.code == "identity.permission"
    name = user_name(uid)
    assert f"belongs to {name}; put `sudo -u {name}` before the command" in caught.value.detail


def test_a_user_without_a_name_is_given_as_sudo_takes_a_number() -> None:
    assert user_name(3_999_999_999) == "'#3999999999'"


def test_a_directory_that_cannot_be_made_without_permission_has_its_own_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def forbidden(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "mkdir", forbidden)
    with pytest.raises(BirthmarkError) as caught:
        prepare_state_dir(tmp_path / "state")
    assert caught.value.code == "disk.permission"


@root_only
def test_root_acts_as_the_owner_and_is_root_again_afterwards(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_bytes(b"root's")
    secret.chmod(0o600)
    state = tmp_path / "state"
    state.mkdir(mode=0o700)
    tmp_path.chmod(0o755)
    os.chown(state, NOBODY, NOBODY)
    groups = os.getgroups()
    (state / "link").symlink_to(secret)
    with as_owner_of(state):
        with pytest.raises(PermissionError):
            (state / "link").read_bytes()
        assert (os.geteuid(), os.getegid(), os.getgroups()) == (NOBODY, NOBODY, [])
    assert (os.geteuid(), os.getegid(), os.getgroups()) == (0, os.getgid(), groups)
    assert secret.read_bytes() == b"root's"


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


@root_only
def test_a_lock_that_root_takes_is_a_file_of_the_owners(tmp_path: Path) -> None:
    os.chown(tmp_path, 12345, 12346)
    with lock_state_dir(tmp_path):
        pass
    status = (tmp_path / "lock").stat()
    assert (status.st_uid, status.st_gid, status.st_mode & 0o777) == (12345, 12346, 0o600)
