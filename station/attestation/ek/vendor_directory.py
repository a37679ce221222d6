"""Reads the vendors' certificates in a directory again whenever something in it has changed.

So a certificate that an operator puts there counts for the next unit, without a restart. A problem with the directory
does not stop a running station (`load_ek_roots`): the log and every follower name it.
"""

from __future__ import annotations

import asyncio
import logging
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Final, TypeAlias

from station.attestation.ek.roots import EkRoots, load_ek_roots

log = logging.getLogger(__name__)

LOOK_SECONDS: Final = 2.0

_SAID_MAX: Final = 8
"""The most problems that one reading logs."""

_State: TypeAlias = frozenset[tuple[object, ...]] | str
"""Names, sizes and times of a directory's files, which change with its content; the error if it cannot be read."""


class VendorsDirectory:
    """Reads `directory` when made. Safe to use from several threads."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._lock = threading.Lock()
        self._state = _state_of(directory)
        self._roots = load_ek_roots(directory)

    @property
    def roots(self) -> EkRoots:
        """The certificates as last read."""
        return self._roots

    def current(self) -> EkRoots:
        """Return the certificates as they are now.

        Looks at each file's times, and reads the directory only after a change.
        """
        with self._lock:
            state = _state_of(self._directory)
            if state != self._state:
                before, self._state = self._roots, state
                self._roots = load_ek_roots(self._directory, before)
                _say(before, self._roots)
            return self._roots

    async def follow(self, tell: Callable[[str], None]) -> None:
        """Read the directory again and again, until cancelled, and `tell` the problem each time; empty without one."""
        while True:
            try:
                tell(problem_in(await asyncio.to_thread(self.current)))
            except Exception:
                log.exception("%s: a bug; the certificates read before are still in use", self._directory)
            await asyncio.sleep(LOOK_SECONDS)


def problem_in(roots: EkRoots) -> str:
    """Return the first problem with the vendors' certificates, and the number of further ones; empty without any."""
    if not roots.problems:
        return ""
    more = f" (and {len(roots.problems) - 1} more)" if len(roots.problems) > 1 else ""
    return f"TPM vendors' certificates: {roots.problems[0]}{more}"


def _state_of(directory: Path) -> _State:
    try:
        with os.scandir(directory) as entries:
            return frozenset(_file_state(entry) for entry in entries if not entry.name.startswith("."))
    except OSError as error:
        return str(error.strerror)


def _file_state(entry: os.DirEntry[str]) -> tuple[object, ...]:
    try:
        found = entry.stat()
    except OSError as error:  # a dangling link, or deleted meanwhile
        return (entry.name, str(error.strerror))
    return (entry.name, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)


def _say(before: EkRoots, now: EkRoots) -> None:
    log.warning("the TPM vendors' certificates have changed: %d are known, %d were", now.count, before.count)
    news = [problem for problem in now.problems if problem not in before.problems]
    for problem in news[:_SAID_MAX]:
        log.warning("%s", problem)
    if len(news) > _SAID_MAX:
        log.warning("and %d more files or certificates that are not used", len(news) - _SAID_MAX)
