"""Finds the owner of a path, and acts as that user: root works on a service's files only as their owner.

Otherwise root would leave files there that the service itself cannot read, and follow links that the service's user
made.
"""

from __future__ import annotations

import os
import pwd
import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from stat import S_ISLNK
from typing import Final

from shared.errors import BirthmarkError

ROOT: Final = 0


@dataclass(frozen=True, slots=True)
class User:
    uid: int
    gid: int
    name: str
    """`#1234` for a user without a name."""

    @property
    def sudo(self) -> str:
        """The prefix with which another user runs a command as this one."""
        return "sudo" if self.uid == ROOT else f"sudo -u {shlex.quote(self.name)}"


def user_of(uid: int, gid: int) -> User:
    """Return the user with the number `uid`; `gid` is the group if the user has no entry in passwd."""
    try:
        entry = pwd.getpwuid(uid)
    except KeyError:
        return User(uid, gid, f"#{uid}")
    return User(uid, entry.pw_gid, entry.pw_name)


def user_named(name: str) -> User | None:
    """Return the user with this name, or None."""
    try:
        entry = pwd.getpwnam(name)
    except KeyError:
        return None
    return User(entry.pw_uid, entry.pw_gid, entry.pw_name)


def owner_of(path: Path) -> User:
    """Return the user who decides what is at `path`, as whom root reads, makes or replaces it.

    That is its owner; of a path that is not there, the owner of the directory that it will lie in. Where that is root,
    it is another user whose directory the path leads through, and who could put something else there. Follows a link
    only if root owns the link.
    """
    for place in (path.absolute(), *path.absolute().parents):
        if user := _user_at(place):
            return user if user.uid != ROOT else _first_of_another(place) or user
    raise AssertionError("there is always a /")


def _user_at(place: Path) -> User | None:
    try:
        status = place.lstat()
        if S_ISLNK(status.st_mode) and status.st_uid == ROOT:
            status = place.stat()
    except OSError:
        return None
    return user_of(status.st_uid, status.st_gid)


def _first_of_another(path: Path) -> User | None:
    """The owner of the topmost directory or link on the way to `path` that is not root's."""
    for place in (*reversed(path.parents), *reversed(path.resolve().parents)):
        user = _user_at(place)
        if user is not None and user.uid != ROOT:
            return user
    return None


def who_may(path: Path) -> str:
    """Return the end of an error about `path`: who owns it and how to run as that user. Empty if this user owns it."""
    for place in (path, *path.absolute().parents):
        if owner := _user_at(place):
            if owner.uid == os.geteuid():
                return ""
            return f"; {place} belongs to {owner.name}, run it as: {owner.sudo} birthmark-station …"
    return ""


def become(user: User) -> None:
    """Become `user` for the rest of the process, if root runs this. Raises `data.unreadable`."""
    if os.geteuid() != ROOT or user.uid == ROOT:
        return
    with _told(user):
        _set_groups(user)
        os.setresgid(user.gid, user.gid, user.gid)
        os.setresuid(user.uid, user.uid, user.uid)


@contextmanager
def acting_as(user: User) -> Iterator[None]:
    """Act as `user` until the block ends, if root runs this. Raises `data.unreadable`.

    A program that is started meanwhile is that user's for good: only this process keeps the way back.
    """
    if os.geteuid() != ROOT or user.uid == ROOT:
        yield
        return
    groups, gids, uids = os.getgroups(), os.getresgid(), os.getresuid()
    try:
        with _told(user):
            _set_groups(user)
            os.setresgid(user.gid, user.gid, gids[1])
            os.setresuid(user.uid, user.uid, ROOT)
        yield
    finally:
        os.setresuid(*uids)
        os.setresgid(*gids)
        os.setgroups(groups)


@contextmanager
def _told(user: User) -> Iterator[None]:
    """Raise `data.unreadable` when the block cannot switch to `user`, or `user` cannot read this program."""
    try:
        yield
    except OSError as error:  # as in a container that maps only some users
        why = f"root cannot act as its owner {user.name}: {error.strerror}"
        raise BirthmarkError("data.unreadable", why) from error
    for module in (os.__file__, __file__):  # much of both is imported only when it is needed
        if not os.access(module, os.R_OK, effective_ids=True):
            raise BirthmarkError("data.unreadable", f"its owner {user.name} cannot read this program, {module}")


def _set_groups(user: User) -> None:
    if user.name.startswith("#"):
        os.setgroups([user.gid])
    else:
        os.initgroups(user.name, user.gid)
