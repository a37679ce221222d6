"""A path's owner is found; root acts as that user and is root again afterwards."""

from __future__ import annotations

import os
import pwd
import subprocess
import sys
from pathlib import Path

import pytest

from runtime import owner
from runtime.owner import User, acting_as, become, future_owner, owner_of, user_named, user_of, who_may
from shared.errors import BirthmarkError

NAMELESS = 3_999_999_999
NOBODY = pwd.getpwnam("nobody")
root_only = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")


@pytest.fixture
def readable_program(monkeypatch: pytest.MonkeyPatch) -> None:
    """Everybody can read this program, wherever its interpreter is installed."""
    monkeypatch.setattr(os, "__file__", "/etc/passwd")
    monkeypatch.setattr(owner, "__file__", "/etc/passwd")


def test_a_user_is_named_as_sudo_takes_it() -> None:
    nobody = User(NOBODY.pw_uid, NOBODY.pw_gid, "nobody")
    assert user_of(NOBODY.pw_uid, 1) == nobody == user_named("nobody")
    assert nobody.sudo == "sudo -u nobody"
    assert user_of(NAMELESS, 7) == User(NAMELESS, 7, f"#{NAMELESS}")
    assert user_of(NAMELESS, 7).sudo == f"sudo -u '#{NAMELESS}'", "a shell takes # for a comment"
    assert user_of(0, 0).sudo == "sudo"
    assert user_named("no-such-user") is None


def test_a_missing_path_has_no_owner(tmp_path: Path) -> None:
    assert owner_of(tmp_path / "none") is None
    assert future_owner(tmp_path / "none" / "file") is None
    ours = owner_of(tmp_path)
    assert ours is not None
    assert ours.uid == os.geteuid()


def test_a_new_file_is_the_directorys_owners_only_where_the_directory_is_private(tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    assert future_owner(tmp_path / "new") == owner_of(tmp_path)
    tmp_path.chmod(0o755)
    assert future_owner(tmp_path / "new") is None
    (tmp_path / "old").touch()
    assert future_owner(tmp_path / "old") == owner_of(tmp_path / "old")


def test_an_error_names_the_user_who_may(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert who_may(tmp_path / "none" / "file") == ""
    mine = user_of(os.geteuid(), os.getegid())
    monkeypatch.setattr(os, "geteuid", lambda: mine.uid + 1)
    expected = f"; {tmp_path} belongs to {mine.name}, run it as: {mine.sudo} birthmark-station …"
    assert who_may(tmp_path / "none" / "file") == expected
    assert who_may(tmp_path) == expected


def test_only_root_becomes_another_user(monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*_: object) -> None:
        raise AssertionError("another user was taken on")

    for name in ("setgroups", "initgroups", "setresuid", "setresgid", "seteuid", "setegid"):
        monkeypatch.setattr(os, name, never)
    for uid, user in ((1000, user_of(NAMELESS, 7)), (0, None), (0, user_of(0, 0))):
        monkeypatch.setattr(os, "geteuid", lambda uid=uid: uid)
        become(user)
        with acting_as(user):
            pass


@root_only
def test_a_link_that_is_not_roots_counts_as_it_stands(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    os.chown(tmp_path / "file", NAMELESS, 7)
    link = tmp_path / "link"
    link.symlink_to("file")
    assert owner_of(link) == user_of(NAMELESS, 7)
    os.chown(link, NOBODY.pw_uid, NOBODY.pw_gid, follow_symlinks=False)
    assert owner_of(link) == user_named("nobody")


@root_only
@pytest.mark.usefixtures("readable_program")
@pytest.mark.parametrize("fails", [False, True])
def test_root_acts_as_the_owner_and_is_root_again_even_after_a_failure(tmp_path: Path, fails: bool) -> None:
    secret = tmp_path / "secret"
    secret.touch(mode=0o600)
    before = (os.geteuid(), os.getegid(), os.getgroups())

    def act() -> None:
        with acting_as(user_named("nobody")):
            assert (os.geteuid(), os.getegid()) == (NOBODY.pw_uid, NOBODY.pw_gid)
            assert set(os.getgroups()) == set(os.getgrouplist("nobody", NOBODY.pw_gid))
            assert not os.access(secret, os.R_OK, effective_ids=True)
            if fails:
                raise RuntimeError("stopped")

    if fails:
        with pytest.raises(RuntimeError, match="stopped"):
            act()
    else:
        act()
    assert (os.geteuid(), os.getegid(), os.getgroups()) == before


def refused() -> None:
    with acting_as(user_named("nobody")):
        raise AssertionError("it went on")


@root_only
@pytest.mark.usefixtures("readable_program")
def test_an_owner_who_cannot_read_this_program_is_reported_and_root_stays_root(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "program.py"
    program.touch(mode=0o600)
    monkeypatch.setattr(owner, "__file__", str(program))
    with pytest.raises(BirthmarkError, match="its owner nobody cannot read this program") as caught:
        refused()
    assert caught.value.code == "data.unreadable"
    assert os.geteuid() == 0


@root_only
def test_a_user_that_root_cannot_become_is_reported_with_the_systems_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    def unmapped(_uid: int) -> None:
        raise OSError(22, "Invalid argument")

    with monkeypatch.context() as patched:
        seteuid = os.seteuid
        patched.setattr(os, "seteuid", lambda uid: seteuid(uid) if uid == 0 else unmapped(uid))
        with pytest.raises(BirthmarkError, match="root cannot act as its owner nobody: Invalid argument") as caught:
            refused()
    assert caught.value.code == "data.unreadable"
    assert (os.geteuid(), os.getegid()) == (0, os.getgid())


BECOME = f"""
import os
from runtime import owner
os.__file__ = owner.__file__ = "/etc/passwd"
owner.become(owner.user_of({NAMELESS}, 7))
assert os.getresuid() == ({NAMELESS},) * 3
assert os.getresgid() == (7,) * 3
assert os.getgroups() == [7]
try:
    os.setuid(0)
except PermissionError:
    print("it stays so")
"""


@root_only
def test_root_becomes_the_owner_for_good() -> None:
    ended = subprocess.run(
        [sys.executable, "-c", BECOME], capture_output=True, text=True, cwd=Path(__file__).parents[3], check=False
    )
    assert (ended.stdout, ended.stderr) == ("it stays so\n", "")
