"""A simulated cable and clock: bytes arrive when and as a fault says, and half a minute passes in a moment.

The agent is synchronous and runs as a greenlet, which goes on whenever bytes or half a second arrive. So a session is
a plain exchange without threads.
"""

from __future__ import annotations

import asyncio
import errno
from collections.abc import Callable

from greenlet import greenlet

from shared.errors import BirthmarkError
from shared.protocol.framing import DELIMITER, FrameDecoder
from shared.protocol.messages import Credentials, CredentialsBody, decode, decode_body
from virtual.cable import End

LOOK_SECONDS = 0.5
STEP_SECONDS = 30.0
TIMEOUT_SECONDS = 8 * STEP_SECONDS
"""How long a unit stays plugged in once either end has ended."""
PLUGGED_SECONDS = 12 * STEP_SECONDS
"""The longest time that it stays plugged in."""


class Clock:
    """A clock that only the test advances; both ends use it."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now


class Loop(asyncio.SelectorEventLoop):
    """An event loop whose time-outs use `clock`."""

    def __init__(self, clock: Clock) -> None:
        super().__init__()
        self._faults_clock = clock

    def time(self) -> float:
        return self._faults_clock.now


class Fault:
    """What happens to the bytes on their way; the base class changes nothing."""

    cut = False
    """Whether the cable is cut once these bytes have arrived."""

    def blocks(self, write: int) -> float:
        """Return how long the `write`-th write, or each of its pieces, waits until the port accepts it."""
        return 0.0

    def carry(self, write: int, sender: End, data: bytes) -> list[tuple[float, bytes]]:
        """Return what arrives of the `write`-th write (0 is the first Hello), and after how many seconds."""
        return [(0.0, data)]


class Cable:
    """One plug-in: from now until the cable is cut or unplugged."""

    def __init__(self, clock: Clock, fault: Fault) -> None:
        self.clock = clock
        self.fault = fault
        self.pulled = False
        self.writes = 0
        self.told: list[tuple[End, bytes]] = []
        """Everything that was written, whatever became of it."""
        self.waiting = {end: bytearray() for end in End}
        """What has arrived at that end and was not read."""
        self._begun = {end: bytearray() for end in End}
        self.late: list[tuple[float, End, bytes]] = []
        self.wake_agent: Callable[[], None] = lambda: None
        self.pull_at = clock.now + PLUGGED_SECONDS

    def write(self, sender: End, data: bytes) -> None:
        """Write a piece. The fault sees whole messages: their end is a zero byte, which no message contains."""
        self._begun[sender] += data
        if len(self._begun[sender]) == 1 or not self._begun[sender].endswith(DELIMITER):
            return
        data = bytes(self._begun[sender])
        self._begun[sender].clear()
        number, self.writes = self.writes, self.writes + 1
        self.told.append((sender, data))
        other = End.PI if sender is End.STATION else End.STATION
        for seconds, piece in self.fault.carry(number, sender, data):
            if seconds:
                self.late.append((self.clock.now + seconds, other, piece))
            else:
                self.waiting[other] += piece
        if self.fault.cut:
            self.pulled = True
        if sender is End.STATION and (self.pulled or self.waiting[End.PI]):
            self.wake_agent()

    def pass_time(self) -> None:
        """Let half a second pass in which nobody sends anything."""
        self.clock.now += LOOK_SECONDS
        for item in [item for item in self.late if item[0] <= self.clock.now]:
            self.late.remove(item)
            self.waiting[item[1]] += item[2]
        if self.clock.now >= self.pull_at:
            self.pulled = True
        self.wake_agent()

    def give_up_later(self) -> None:
        self.pull_at = min(self.pull_at, self.clock.now + TIMEOUT_SECONDS)

    def certificates(self) -> set[bytes]:
        """Return the unit's certificates that the station has sent, DER."""
        decoder = FrameDecoder()
        sent = b"".join(data for sender, data in self.told if sender is End.STATION)
        messages = [decode(payload) for payload in decoder.receive(sent)]
        return {decode_body(CredentialsBody, m.body).chain[0] for m in messages if isinstance(m, Credentials)}


class StationLine:
    """The station's end, as `station.ports.conversation.SerialLine`."""

    def __init__(self, cable: Cable) -> None:
        self._cable = cable
        self.dead = False
        """The station's process is no more: it neither hears nor says anything."""
        self._stuck = False

    async def read(self) -> bytes:
        waiting = self._cable.waiting[End.STATION]
        while not waiting:
            if self._cable.pulled or self.dead:
                raise OSError(errno.EIO, "hung up")
            self._cable.pass_time()
            await asyncio.sleep(0)
        if self.dead:
            raise OSError(errno.EIO, "hung up")
        data = bytes(waiting)
        waiting.clear()
        return data

    async def write(self, data: bytes) -> None:
        if self._cable.pulled or self.dead:
            raise OSError(errno.EIO, "hung up")
        until = self._cable.clock.now + self._cable.fault.blocks(self._cable.writes)
        while self._cable.clock.now < until and not self._cable.pulled:
            self._stuck = True
            self._cable.pass_time()
            await asyncio.sleep(0)
        self._stuck = False
        self._cable.write(End.STATION, data)

    def unsent(self) -> bool:
        return self._stuck

    def unplug(self) -> None:
        self._cable.pulled = True


class PiLink:
    """The Pi's end, as `device_agent.session.link.Link`."""

    def __init__(self, cable: Cable, hub: greenlet) -> None:
        self._cable = cable
        self._hub = hub

    def read(self, seconds: float) -> bytes:
        waiting = self._cable.waiting[End.PI]
        if not waiting and not self._cable.pulled:
            self._hub.switch()
        if not waiting and self._cable.pulled:
            raise BirthmarkError("link.lost")
        data = bytes(waiting)
        waiting.clear()
        return data

    def write(self, data: bytes, seconds: float) -> None:
        if self._cable.pulled:
            raise BirthmarkError("link.lost")
        needed = self._cable.fault.blocks(self._cable.writes)
        for _ in range(int(min(seconds, needed) / LOOK_SECONDS)):
            self._hub.switch()
        if needed > seconds:
            raise BirthmarkError("link.unread", f"for {seconds:g} s")
        self._cable.write(End.PI, data)

    def close(self) -> None:
        """Close this end, which the other does not see."""
