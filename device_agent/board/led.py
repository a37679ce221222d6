"""Blinks the on-board LED, which shows the state of a Pi without a screen. A failing LED raises no error."""

from __future__ import annotations

import fcntl
import itertools
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from enum import Enum
from pathlib import Path
from typing import Final

LEDS: Final = Path("/sys/class/leds")
NAMES: Final = ("ACT", "led0")
"""The green LED's name in Raspberry Pi kernels: now, and before 2022."""


class Pattern(Enum):
    """Seconds on, off, on, off, …, repeated; `DONE` stays on."""

    WAITING = (0.1, 1.9)
    WORKING = (0.1, 0.1)
    DONE = (1.0,)
    FAILED = (0.1, 0.2, 0.1, 0.2, 0.1, 1.3)
    NO_MAP = (0.1, 0.2, 0.1, 1.6)
    LIGHT = (1.0, 1.0)
    """Point the camera at an even light."""
    COVER = (1.9, 0.1)
    """Cover the lens."""


class Led:
    """Shows a pattern until the next one. Does nothing without an LED or without permission to use it."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._changed = threading.Condition()
        self._pattern: Pattern | None = None
        self._thread: threading.Thread | None = None
        self._trigger = ""
        self._lock: int | None = None
        self._taken = False

    def show(self, pattern: Pattern) -> None:
        with self._changed:
            if self._path is None or pattern is self._pattern:
                return
            self._pattern = pattern
            self._changed.notify()
            if self._thread is None:
                # A thread blinks instead of the kernel's timer trigger, whose files only root may write.
                self._trigger = _parse_trigger(self._read("trigger"))
                self._write("trigger", "none")
                self._thread = threading.Thread(target=self._blink, name="led", daemon=True)
                self._thread.start()

    def take(self) -> None:
        """Keep other programs' patterns off the LED, until `close`; the agent's own waits meanwhile."""
        if (descriptor := self._open()) is not None:
            fcntl.flock(descriptor, fcntl.LOCK_EX)  # nobody else holds it for longer than a write
            self._taken = True

    @property
    def there(self) -> bool:
        return self._path is not None

    def close(self) -> None:
        """Leave a steady light on; otherwise restore the kernel's trigger."""
        with self._changed:
            thread, steady = self._thread, self._pattern is Pattern.DONE
            self._thread = self._pattern = None
            self._changed.notify()
        if thread is not None:
            thread.join()
            if steady:
                self._write("brightness", "1")
            else:
                self._write("trigger", self._trigger or "none")
        if self._lock is not None:
            os.close(self._lock)
            self._lock, self._taken = None, False

    def _blink(self) -> None:
        with self._changed:
            while (pattern := self._pattern) is not None:
                for step, seconds in enumerate(itertools.cycle(pattern.value)):
                    with self._turn() as ours:
                        if ours:
                            self._write("brightness", "0" if step % 2 and pattern is not Pattern.DONE else "1")
                    if self._changed.wait_for(_pattern_changed(self, pattern), seconds):
                        break

    @contextmanager
    def _turn(self) -> Iterator[bool]:
        """Whether no other program has taken the LED, which it cannot do meanwhile."""
        if self._taken or (descriptor := self._open()) is None:
            yield True
            return
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError:
            yield False
            return
        try:
            yield True
        finally:
            fcntl.flock(descriptor, fcntl.LOCK_UN)

    def _open(self) -> int | None:
        if self._lock is None and self._path is not None:
            with suppress(OSError):
                self._lock = os.open(self._path / "brightness", os.O_RDONLY | os.O_CLOEXEC)
        return self._lock

    def _read(self, name: str) -> str:
        try:
            return (self._path / name).read_text() if self._path else ""
        except OSError:
            return ""

    def _write(self, name: str, value: str) -> None:
        try:
            if self._path:
                (self._path / name).write_text(value)
        except OSError:
            self._path = None  # gone, or no permission: do not try again


def _pattern_changed(led: Led, pattern: Pattern) -> Callable[[], bool]:
    return lambda: led._pattern is not pattern


def find_led(leds: Path = LEDS) -> Led:
    """Return the board's LED, or one that does nothing."""
    return Led(next((leds / name for name in NAMES if (leds / name / "brightness").exists()), None))


def _parse_trigger(triggers: str) -> str:
    """Return the trigger in brackets: `mmc0` for `none [mmc0] timer`."""
    return triggers.partition("[")[2].partition("]")[0]
