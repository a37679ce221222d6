"""A state directory of another user: who may is said, and root acts in it as its owner."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from device_agent.state import as_owner_of, check_state_dir, user_name
from shared.errors import BirthmarkError

NOBODY = 65534
root_only = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give directories away")


@pytest.mark.parametrize("owner", ["mine", "another's"])
def test_who_may_read_it_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, owner: str) -> None:
    tmp_path.chmod(0o700)
    uid = tmp_path.stat().st_uid
    monkeypatch.setattr(os, "geteuid", lambda: uid if owner == "mine" else uid + 1)
    if uid != 0 and owner == "mine":
        check_state_dir(tmp_path)
        return None
    if owner == "mine":
        return check_state_dir(tmp_path)
    with pytest.raises(BirthmarkError) as caught:
        check_state_dir(tmp_path)
    assert caught.value.code == "identity.permission"
    name = user_name(uid)
    assert f"belongs to {name}; put `sudo -u {name}` before the command" in caught.value.detail
    return None


def test_a_user_without_a_name_is_given_as_sudo_takes_a_number() -> None:
    assert user_name(3_999_999_999) == "'#3999999999'"


@root_only
@pytest.mark.parametrize("command", [("status",), ("reset", "--yes"), ("token",), ("run", "--port", "/dev/null")])
def test_another_user_is_told_without_a_traceback(tmp_path: Path, command: tuple[str, ...]) -> None:
    state = tmp_path / "state"
    state.mkdir(mode=0o700)
    for above in (state, *state.parents):
        if above == Path("/"):
            break
        if not above.stat().st_mode & 1 and above != state:
            pytest.skip("another user cannot even reach the test's directory")
    ended = subprocess.run(
        [sys.executable, "-m", "device_agent", *command, "--state-dir", str(state)],
        capture_output=True,
        text=True,
        user=NOBODY,
        extra_groups=[],
    )
    assert (ended.returncode, ended.stdout) == (1, "")
    assert "sudo -u root" in ended.stderr
    assert "Traceback" not in ended.stderr


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
