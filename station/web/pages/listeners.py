"""The pages that listen to the stream of events: how many there may be, of one client and of all.

A listener beyond its client's share ends that client's oldest one, whose page then connects again. So nobody shuts out
a page of the same client, whatever they open.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from shared.errors import BirthmarkError

LISTENERS_MAX: Final = 64
"""The most pages that may listen at once: each costs a rendering for every change."""

OF_ONE_CLIENT: Final = 16

FOR_THE_OPERATOR: Final = 8
"""Of `LISTENERS_MAX`, those for whoever sits at the station, or behind a proxy has signed in."""


class Listener:
    """One page. `end` ends its stream."""

    def __init__(self, client: str, end: Callable[[], None]) -> None:
        self.client: Final = client
        self.ended = False
        self._end = end

    def end(self) -> None:
        self.ended = True
        self._end()


class Listeners:
    def __init__(self) -> None:
        self._listening: Final[dict[Listener, None]] = {}
        """The oldest first."""

    def __len__(self) -> int:
        return len(self._listening)

    @contextmanager
    def added(self, client: str, end: Callable[[], None], *, operator: bool) -> Iterator[Listener]:
        """Count a page of `client` for the block. Raises `http.too-many-listeners`."""
        own = [one for one in self._listening if one.client == client]
        if len(own) >= OF_ONE_CLIENT:
            del self._listening[own[0]]
            own[0].end()
        elif len(self._listening) >= LISTENERS_MAX - (0 if operator else FOR_THE_OPERATOR):
            raise BirthmarkError("http.too-many-listeners", f"{len(self._listening)} pages listen already")
        listener = Listener(client, end)
        self._listening[listener] = None
        try:
            yield listener
        finally:
            self._listening.pop(listener, None)
