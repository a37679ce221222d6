"""The NUC map that a unit waits for: notices that its file has come, and reads it once it is whole."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from device_agent.nuc_map import format as map_file
from device_agent.storage.sealed_map import NucMap, read_nuc_map

STILL_SECONDS: Final = 2.0
"""How long a file must not have changed before it is read: whoever copies it may not be done."""


class FileWatch:
    """Looks at a file, cheaply, as often as it is asked."""

    def __init__(self, path: Path, clock: Callable[[], float] = time.monotonic) -> None:
        self._path = path
        self._clock = clock
        self._known = self._seen = self._look()
        self._since = clock()

    def changed(self) -> bool:
        """Whether the file is another than when this was last true, or in the beginning, and has been still since."""
        now, seen = self._clock(), self._look()
        if seen != self._seen:
            self._seen, self._since = seen, now
        if seen == self._known or now - self._since < STILL_SECONDS:
            return False
        self._known = seen
        return True

    def _look(self) -> tuple[int, ...]:
        """Return what differs when the file is changed, replaced, removed, or given to another owner."""
        try:
            found = self._path.stat()
        except OSError:
            return ()
        return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns


def read_whole_map(path: Path) -> NucMap:
    """Read a NUC map, which must be whole if it is of our format: half of one would be another unit's.

    Raises what `read_nuc_map` does, `nuc.map-damaged` and `nuc.map-too-new`.
    """
    nuc_map = read_nuc_map(path)
    if nuc_map.data.startswith(map_file.MAGIC):
        map_file.decode(nuc_map.data)
    return nuc_map
