"""Chooses the USB ports that the station serves: a drop-in directory lists their USB paths.

Every `*.conf` holds one USB path a line, as the kernel names it (`1-1.2`: bus 1, port 1, hub port 2), with globs
(`1-1.*`); `#` begins a comment. So a developer's own Pi is left alone. An empty list allows every port. Ports that are
not USB are not filtered.
"""

from __future__ import annotations

import logging
import re
from fnmatch import fnmatchcase
from itertools import islice
from pathlib import Path
from typing import Final

from shared.errors import BirthmarkError
from shared.text import printable

log = logging.getLogger(__name__)

TTYS: Final = Path("/sys/class/tty")
_USB_PATH: Final = re.compile(r"\d+-\d+(\.\d+)*\Z")
_PATTERN: Final = re.compile(r"[0-9.*?\[\]!-]{1,64}\Z")
_FILES_MAX: Final = 64
_LINES_MAX: Final = 1024
_FILE_BYTES: Final = 64 * 1024


class AllowedPorts:
    """The list in `directory`, read on every use, so that a change needs no restart. No directory allows every port."""

    def __init__(self, directory: Path | None, ttys: Path = TTYS) -> None:
        self.directory: Final = directory
        self._ttys = ttys
        self._last_error = ""

    def patterns(self) -> tuple[str, ...]:
        """Return all USB paths of the list. Raises `config.invalid`, which names file and line."""
        if self.directory is None:
            return ()
        found: list[str] = []
        try:
            for file in islice(sorted(self.directory.glob("*.conf")), _FILES_MAX):
                found.extend(_read_patterns(file))
            if not self.directory.is_dir():
                raise BirthmarkError("config.invalid", f"{self.directory} is no directory")
        except OSError as error:
            raise BirthmarkError("config.invalid", f"{error.filename}: {error.strerror}") from error
        return tuple(found[:_LINES_MAX])

    def choose(self, ports: set[Path]) -> set[Path]:
        """Return the `ports` that the list allows; no USB port while the list cannot be read."""
        try:
            patterns = self.patterns()
        except BirthmarkError as error:
            if error.sentence != self._last_error:
                log.warning("%s; no USB port is served until it is mended", error)
            self._last_error = error.sentence
            return {port for port in ports if usb_path(port, self._ttys) is None}
        return {port for port in ports if not patterns or _matches(usb_path(port, self._ttys), patterns)}


def usb_path(port: Path, ttys: Path = TTYS) -> str | None:
    """Return the USB path of a tty, such as `1-1.2`; None for a tty that is not on USB."""
    try:
        device = (ttys / port.resolve().name / "device").resolve(strict=True)
    except (OSError, RuntimeError):  # RuntimeError: a loop of links
        return None
    return next((part for part in reversed(device.parts) if _USB_PATH.match(part)), None)


def _matches(path: str | None, patterns: tuple[str, ...]) -> bool:
    return path is None or any(fnmatchcase(path, pattern) for pattern in patterns)


def _read_patterns(file: Path) -> list[str]:
    with file.open("rb") as opened:
        text = opened.read(_FILE_BYTES).decode("utf-8", "replace")
    lines: list[str] = []
    for number, line in enumerate(text.splitlines(), 1):
        pattern = line.partition("#")[0].strip()
        if pattern and not _PATTERN.match(pattern):
            raise BirthmarkError("config.invalid", f"{file}, line {number}: {printable(pattern, 64)} is no USB path")
        if pattern:
            lines.append(pattern)
    return lines
