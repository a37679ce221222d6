"""A state directory of another user: who may is said, and root acts in it as its owner."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from click.testing import CliRunner

from device_agent.cli import main
from device_agent.storage.state_dir import as_owner_of, check_state_dir, prepare_state_dir, user_name
from shared.errors import BirthmarkError

NOBODY = 65534
root_only = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give directories away")


def test_who_may_read_it_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
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


@pytest.mark.parametrize("command", [("status",), ("reset", "--yes"), ("token",), ("run", "--port", "/dev/null")])
def test_every_command_says_it_and_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: tuple[str, ...]
) -> None:
    tmp_path.chmod(0o700)
    uid = tmp_path.stat().st_uid
    monkeypatch.setattr(os, "geteuid", lambda: uid + 1)
    ended = CliRunner().invoke(main, [*command, "--state-dir", str(tmp_path)])
    assert (ended.exit_code, ended.stdout) == (1, "")
    assert f"put `sudo -u {user_name(uid)}` before the command" in ended.stderr
    assert "[identity.permission]" in ended.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_directory_that_cannot_be_made_for_want_of_permission_is_told_so(
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
