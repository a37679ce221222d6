"""Says what keeps the files of a directory: a disk, memory that is gone at power-off, or one slot of an A/B image."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Final

from shared.errors import BirthmarkError

MOUNTS: Final = Path("/proc/self/mountinfo")
_IN_MEMORY: Final = frozenset({"tmpfs", "ramfs", "overlay"})
"""An overlay's upper directory is in memory where `raspi-config` switched it on; where it is not cannot be seen."""
_SLOT: Final = re.compile(r"/slots/[^/]+/var(/|$)")
"""The place of a slot's /var on the shared partition of rpi-image-gen's A/B layout (image-rota)."""
_READ_BYTES: Final = 1024 * 1024


class Keeper(Enum):
    DISK = "disk"
    MEMORY = "memory"
    SLOT = "slot"


@dataclass(frozen=True, slots=True)
class Kept:
    by: Keeper
    kind: str
    """The kind of the file system, such as `ext4`."""
    point: str
    """Where it is mounted."""


def kept(path: Path, mounts: Path = MOUNTS) -> Kept | None:
    """Say what keeps the files in `path`, which need not exist yet. None where the kernel does not say."""
    try:
        with mounts.open("rb") as file:
            lines = file.read(_READ_BYTES).decode("utf-8", "surrogateescape").splitlines()
    except OSError:
        return None
    wanted = path.resolve()
    found: Kept | None = None
    for line in lines:
        before, _, after = line.partition(" - ")
        fields, kind = before.split(" "), after.partition(" ")[0]
        if len(fields) < 5 or not kind:
            continue
        inside, point = _unescaped(fields[3]), _unescaped(fields[4])
        # Of two at one place the later hides the earlier.
        if wanted.is_relative_to(point) and (found is None or len(point) >= len(found.point)):
            found = Kept(_keeper(kind, inside), kind, point)
    return found


def check_lasting(path: Path, mounts: Path = MOUNTS) -> None:
    """Refuse a directory whose files are lost at power-off. Raises `identity.volatile`."""
    found = kept(path, mounts)
    if found is not None and found.by is Keeper.MEMORY:
        raise BirthmarkError("identity.volatile", f"{path} is on {found.kind}, mounted at {found.point}")


def _keeper(kind: str, inside: str) -> Keeper:
    if kind in _IN_MEMORY:
        return Keeper.MEMORY
    return Keeper.SLOT if _SLOT.match(inside) else Keeper.DISK


def _unescaped(field: str) -> str:
    """The kernel writes space, tab, newline and backslash as three octal digits."""
    return re.sub(r"\\([0-7]{3})", lambda found: chr(int(found[1], 8)), field)
