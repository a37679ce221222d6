"""A path's owner is found; root acts as that user and is root again afterwards."""

from __future__ import annotations

import os
import pwd
import subprocess
import sys
from pathlib import Path

import pytest

from runtime import owner
from runtime.owner import User, acting_as, become, owner_of, user_named, user_of, who_may
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


@pytest.mark.parametrize("mode", [0o700, 0o755])
def test_a_missing_path_is_of_the_directory_that_it_will_lie_in(tmp_path: Path, mode: int) -> None:
    tmp_path.chmod(mode)
    assert owner_of(tmp_path).uid == os.geteuid()
    assert owner_of(tmp_path / "none") == owner_of(tmp_path / "none" / "file") == owner_of(tmp_path)


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
    for uid, user in ((1000, user_of(NAMELESS, 7)), (0, user_of(0, 0))):
        monkeypatch.setattr(os, "geteuid", lambda uid=uid: uid)
        become(user)
        with acting_as(user):
            pass


def nobody() -> User:
    return User(NOBODY.pw_uid, NOBODY.pw_gid, "nobody")


@root_only
def test_a_link_that_is_not_roots_counts_as_it_stands(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    os.chown(tmp_path / "file", NAMELESS, 7)
    link = tmp_path / "link"
    link.symlink_to("file")
    assert owner_of(link) == user_of(NAMELESS, 7)
    os.chown(link, NOBODY.pw_uid, NOBODY.pw_gid, follow_symlinks=False)
    assert owner_of(link) == nobody()


@root_only
def test_what_lies_in_another_users_directory_is_that_users_though_root_owns_it(tmp_path: Path) -> None:
    """That user can put anything else in its place."""
    theirs, through = tmp_path / "theirs", tmp_path / "through"
    (theirs / "roots").mkdir(parents=True)
    through.symlink_to(theirs / "roots")
    os.chown(theirs, NAMELESS, 7)
    for path in (theirs / "roots", theirs / "roots" / "none", through, through / "none"):
        assert owner_of(path) == user_of(NAMELESS, 7), path
    os.chown(theirs / "roots", NOBODY.pw_uid, NOBODY.pw_gid)
    assert owner_of(theirs / "roots" / "none") == nobody()
    circle = theirs / "circle"
    circle.symlink_to(circle)
    assert owner_of(circle / "none") == user_of(NAMELESS, 7)


@root_only
@pytest.mark.usefixtures("readable_program")
@pytest.mark.parametrize("fails", [False, True])
def test_root_acts_as_the_owner_and_is_root_again_even_after_a_failure(tmp_path: Path, fails: bool) -> None:
    secret = tmp_path / "secret"
    secret.touch(mode=0o600)
    before = (os.geteuid(), os.getegid(), os.getgroups())

    def act() -> None:
        with acting_as(nobody()):
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
    with acting_as(nobody()):
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
        real = os.setresuid
        patched.setattr(os, "setresuid", lambda *uids: real(*uids) if uids[0] == 0 else unmapped(uids[0]))
        with pytest.raises(BirthmarkError, match="root cannot act as its owner nobody: Invalid argument") as caught:
            refused()
    assert caught.value.code == "data.unreadable"
    assert (os.geteuid(), os.getegid()) == (0, os.getgid())


@root_only
@pytest.mark.usefixtures("readable_program")
def test_a_program_that_root_starts_meanwhile_is_the_owners_for_good() -> None:
    with acting_as(nobody()):
        assert os.getresuid() == (NOBODY.pw_uid, NOBODY.pw_uid, 0)
        told = subprocess.run(["grep", "-E", "^(Uid|Gid|Groups):", "/proc/self/status"], capture_output=True, text=True)
    uids, gids, groups = told.stdout.splitlines()
    assert uids.split() == ["Uid:", *[str(NOBODY.pw_uid)] * 4]
    assert gids.split() == ["Gid:", *[str(NOBODY.pw_gid)] * 4]
    assert "0" not in groups.split()


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
