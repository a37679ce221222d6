"""Models a disk after a power cut: synced changes survive, and of the others any subset may.

The model is POSIX's, not a file system's. A file's content survives once the file is synced, an entry of a directory
once that directory is, and each unsynced change may be kept or lost by itself. A rename is one change.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from copy import deepcopy
from dataclasses import dataclass, field
from itertools import combinations
from pathlib import Path

from device_agent.storage.disk import Buffer, Disk

_SUBSETS_OF = 6
"""With at most this many unsynced changes every subset is tried; with more: all, none, all but one, and each one
alone."""

Name = tuple[str, ...]
"""A path below the root, by its parts."""


@dataclass
class Inode:
    """A file (bytes), a symbolic link (its target), or a directory."""

    content: bytes | str | None = None
    entries: dict[str, int] = field(default_factory=dict)


Tree = dict[int, Inode]
"""By inode number; 0 is the root."""


@dataclass(frozen=True)
class Change:
    """What becomes durable when the inode is synced: new content, or entries that come or go (None)."""

    inode: int
    content: bytes | None = None
    entries: tuple[tuple[str, int | None], ...] = ()

    def apply(self, tree: Tree) -> None:
        inode = tree[self.inode]
        if self.content is not None:
            inode.content = self.content
        for name, number in self.entries:
            if number is None:
                inode.entries.pop(name, None)
            else:
                inode.entries[name] = number


@dataclass(frozen=True)
class Step:
    """One elementary operation on the disk, and the mark at that moment."""

    what: str
    name: Name
    content: bytes | str | None = None
    target: Name = ()
    mark: str = ""


class Recorder(Disk):
    """A real disk that records every elementary change under `root`. `mark` returns the current point of the story."""

    def __init__(self, root: Path, mark: Callable[[], str] = str) -> None:
        self._root = root
        self._mark = mark
        self.before = _read(root)
        self.steps: list[Step] = []

    def make_directory(self, path: Path) -> None:
        super().make_directory(path)
        self._note("make", path)

    def write(self, path: Path, *parts: Buffer, mode: int = 0o600) -> None:
        super().write(path, *parts, mode=mode)
        data = b"".join(parts)
        self._note("make", path, b"")
        for part in (data[: len(data) // 2], data):
            self._note("fill", path, part)
        self._note("sync", path)

    def link(self, source: Path, path: Path) -> None:
        super().link(source, path)
        self._note("link", source, target=path)

    def point(self, path: Path, target: str) -> None:
        super().point(path, target)
        self._note("make", path, target)

    def rename(self, source: Path, target: Path) -> None:
        super().rename(source, target)
        self._note("rename", source, target=target)

    def sync(self, directory: Path) -> None:
        super().sync(directory)
        self._note("sync", directory)

    def remove(self, path: Path) -> None:
        if path.is_dir() and not path.is_symlink():
            for inside in sorted(path.iterdir()):
                self._note("drop", inside)
        if os.path.lexists(path):
            self._note("drop", path)
        super().remove(path)

    def _note(self, what: str, path: Path, content: bytes | str | None = None, target: Path | None = None) -> None:
        names = [given.relative_to(self._root).parts if given else () for given in (path, target)]
        self.steps.append(Step(what, names[0], content, names[1], self._mark()))


def states(recorder: Recorder, prefix: int) -> Iterator[Tree]:
    """Yield every state in which a power cut after the first `prefix` steps may leave the disk."""
    durable, pending = _replayed(recorder, prefix)
    count = len(pending)
    if count <= _SUBSETS_OF:
        kept = [set(some) for size in range(count + 1) for some in combinations(range(count), size)]
    else:
        kept = [set(), set(range(count))]
        kept += [set(range(count)) - {one} for one in range(count)] + [{one} for one in range(count)]
    seen = []
    for some in kept:
        tree = deepcopy(durable)
        for number in sorted(some):
            pending[number].apply(tree)
        if (shown := _reachable(tree)) not in seen:
            seen.append(shown)
            yield tree


def materialise(tree: Tree, path: Path, number: int = 0) -> None:
    """Write a tree to a real disk, under `path`."""
    content = tree[number].content
    if isinstance(content, bytes):
        path.write_bytes(content)
        path.chmod(0o600)
    elif isinstance(content, str):
        path.symlink_to(content)
    else:
        path.mkdir(mode=0o700)
        for name, inside in tree[number].entries.items():
            materialise(tree, path / name, inside)


def _replayed(recorder: Recorder, prefix: int) -> tuple[Tree, list[Change]]:
    """Return what is durable after these steps, and the changes that may be, in their order."""
    now, durable = deepcopy(recorder.before), deepcopy(recorder.before)
    pending: list[Change] = []

    def inode(name: Name) -> int:
        number = 0
        for part in name:
            number = now[number].entries[part]
        return number

    def change(made: Change) -> None:
        made.apply(now)
        pending.append(made)

    for step in recorder.steps[:prefix]:
        match step.what:
            case "make":
                number = len(now)
                now[number], durable[number] = Inode(step.content), Inode(step.content)
                change(Change(inode(step.name[:-1]), entries=((step.name[-1], number),)))
            case "fill":
                assert isinstance(step.content, bytes)
                change(Change(inode(step.name), content=step.content))
            case "link":
                change(Change(inode(step.target[:-1]), entries=((step.target[-1], inode(step.name)),)))
            case "rename":
                assert step.name[:-1] == step.target[:-1], "between directories it is two changes"
                entries = ((step.name[-1], None), (step.target[-1], inode(step.name)))
                change(Change(inode(step.name[:-1]), entries=entries))
            case "drop":
                change(Change(inode(step.name[:-1]), entries=((step.name[-1], None),)))
            case "sync":
                synced = inode(step.name)
                for made in pending:
                    if made.inode == synced:
                        made.apply(durable)
                pending = [made for made in pending if made.inode != synced]
    return durable, pending


def _read(root: Path) -> Tree:
    tree: Tree = {}

    def read(path: Path) -> int:
        number = len(tree)
        inode = tree[number] = Inode()
        if path.is_symlink():
            inode.content = str(path.readlink())
        elif path.is_dir():
            inode.entries = {inside.name: read(inside) for inside in sorted(path.iterdir())}
        else:
            inode.content = path.read_bytes()
        return number

    read(root)
    return tree


def _reachable(tree: Tree, number: int = 0) -> object:
    inode = tree[number]
    return inode.content, {name: _reachable(tree, inside) for name, inside in inode.entries.items()}
