"""Tells listeners, such as the page and the terminal, what happens on the ports and in the registry.

Keeps no history.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, TypeAlias

from shared.errors import ErrorCode

_QUEUE: Final = 256
"""The events that wait for a slow listener; with more, it gets `Lost` instead."""


class PortState(StrEnum):
    """What an operator needs to know of a port."""

    ABSENT = "absent"
    WAITING = "waiting"
    NOT_READY = "not-ready"
    """A unit is there, and lacks what a session needs; it says so itself."""
    WORKING = "working"
    DONE = "done"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class PortChanged:
    """The port's current state.

    `shared.text` has cleaned the device's texts; whoever displays them still escapes them.
    """

    port: str
    state: PortState
    step: int = 0
    """How many steps of the session are done."""
    serial: str = ""
    model: str = ""
    note: str = ""
    """A sentence: what is happening, or what went wrong and what to do."""
    code: str = ""
    findings: tuple[ErrorCode, ...] = ()
    """What the device finds amiss on itself: codes of `shared.errors.findings`, nothing else."""


@dataclass(frozen=True, slots=True)
class PortGone:
    port: str


@dataclass(frozen=True, slots=True)
class UnitChanged:
    serial: str


class Topic(StrEnum):
    """What a notice is about. There is at most one notice of each topic."""

    VENDORS = "vendors"
    """The directory of TPM vendors' certificates."""
    PORTS = "ports"
    """Why no port may ever appear."""
    CERTIFICATE = "certificate"
    """The station's own certificate, when it cannot be renewed."""
    VALIDATIONS = "validations"
    """Units that are validated more often than cameras take photos."""


@dataclass(frozen=True, slots=True)
class NoticeChanged:
    """A problem of the station itself that an operator should solve."""

    topic: Topic
    text: str
    """A sentence; empty when the problem is solved."""


@dataclass(frozen=True, slots=True)
class Lost:
    """The listener was too slow and missed events: it must read all current states."""


BusEvent: TypeAlias = PortChanged | PortGone | UnitChanged | NoticeChanged | Lost


class Bus:
    """Tells every listener every event, and keeps the current states of the ports and the current notices."""

    def __init__(self) -> None:
        self._listeners: set[asyncio.Queue[BusEvent]] = set()
        self._ports: dict[str, PortChanged] = {}
        self._notices: dict[Topic, str] = {}

    def ports(self) -> list[PortChanged]:
        return [self._ports[port] for port in sorted(self._ports)]

    def is_working(self) -> bool:
        """Whether a session is in progress on any port."""
        return any(port.state is PortState.WORKING for port in self._ports.values())

    def notice(self, topic: Topic) -> str:
        """Return the current notice of a topic; empty if there is none."""
        return self._notices.get(topic, "")

    def tell(self, event: BusEvent) -> None:
        match event:
            case PortChanged() if self._ports.get(event.port) == event:
                return
            case PortChanged():
                self._ports[event.port] = event
            case NoticeChanged(topic=topic, text=text) if self.notice(topic) == text:
                return
            case NoticeChanged(topic=topic, text=text):
                self._notices[topic] = text
            case PortGone():
                self._ports.pop(event.port, None)
        for queue in self._listeners:
            if queue.full():
                while not queue.empty():
                    queue.get_nowait()
                queue.put_nowait(Lost())
            else:
                queue.put_nowait(event)

    @contextmanager
    def listen(self) -> Iterator[asyncio.Queue[BusEvent]]:
        """Open a queue of all events from now on."""
        queue: asyncio.Queue[BusEvent] = asyncio.Queue(_QUEUE)
        self._listeners.add(queue)
        try:
            yield queue
        finally:
            self._listeners.discard(queue)
