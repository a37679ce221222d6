"""A USB cable that tests plug in, unplug and disturb: two pseudo terminals, and a thread that carries the bytes.

Each end is a symbolic link that exists while the cable is plugged in, as udev makes one. Both terminals begin cooked
and echoing, as real ones do. As on USB, an end does not see that the other is closed, but sees that the cable is
unplugged.
"""

from __future__ import annotations

import os
import selectors
import threading
from collections.abc import Callable
from enum import Enum
from pathlib import Path
from typing import Final

_CHUNK_BYTES: Final = 4096


class End(Enum):
    STATION = "station"
    PI = "pi"


Spoil = Callable[[End, bytes], bytes]
"""Gets the sender and its bytes; returns the bytes that arrive."""


class Cable:
    """A cable with the ends `directory`/station and `directory`/pi."""

    def __init__(self, directory: Path, spoil: Spoil | None = None) -> None:
        self.paths: Final = {end: directory / end.value for end in End}
        self.spoil = spoil
        self._descriptors: dict[End, tuple[int, int]] = {}
        self._thread: threading.Thread | None = None
        self._pull: tuple[int, int] | None = None

    def plug(self) -> None:
        """Make both ends appear."""
        self._pull = os.pipe()
        self._descriptors = {end: os.openpty() for end in End}
        self._thread = threading.Thread(target=self._carry, name="cable", daemon=True)
        self._thread.start()
        for end, (_, terminal) in self._descriptors.items():
            path = self.paths[end]
            path.unlink(missing_ok=True)
            path.symlink_to(os.ttyname(terminal))

    def unplug(self) -> None:
        """Make both ends hang up and vanish. May be called twice."""
        if self._pull is None or self._thread is None:
            return
        os.write(self._pull[1], b"x")
        self._thread.join()
        for descriptor in (*self._pull, *(number for pair in self._descriptors.values() for number in pair)):
            os.close(descriptor)
        for path in self.paths.values():
            path.unlink(missing_ok=True)
        self._pull = self._thread = None

    def __enter__(self) -> Cable:
        self.plug()
        return self

    def __exit__(self, *_: object) -> None:
        self.unplug()

    def _carry(self) -> None:
        assert self._pull is not None
        masters = {end: pair[0] for end, pair in self._descriptors.items()}
        other = {End.STATION: End.PI, End.PI: End.STATION}
        waiting = dict.fromkeys(End, b"")  # bytes still to be written to that end
        for master in masters.values():
            os.set_blocking(master, False)
        with selectors.DefaultSelector() as selector:
            selector.register(self._pull[0], selectors.EVENT_READ)
            while True:
                for end, master in masters.items():
                    wanted = selectors.EVENT_WRITE if waiting[end] else 0
                    if not waiting[other[end]]:
                        wanted |= selectors.EVENT_READ
                    _watch(selector, master, wanted, end)
                for key, events in selector.select():
                    if key.fd == self._pull[0]:
                        return
                    end = key.data
                    if events & selectors.EVENT_READ:
                        data = os.read(key.fd, _CHUNK_BYTES)
                        waiting[other[end]] += self.spoil(end, data) if self.spoil else data
                    if events & selectors.EVENT_WRITE:
                        try:
                            written = os.write(key.fd, waiting[end])
                        except BlockingIOError:
                            continue
                        waiting[end] = waiting[end][written:]


def _watch(selector: selectors.BaseSelector, descriptor: int, events: int, end: End) -> None:
    known = selector.get_map().get(descriptor)
    if known is None:
        if events:
            selector.register(descriptor, events, end)
    elif not events:
        selector.unregister(descriptor)
    elif known.events != events:
        selector.modify(descriptor, events, end)
