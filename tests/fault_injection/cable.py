"""Faults of the cable: cut, flipped, dropped, doubled and delayed bytes, at every byte; an end that falls silent.

A point is (number of the write, number of its byte): each of a session's seven messages is one write, by turns the
station's and the agent's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cache, partial

from shared.protocol.framing import FrameDecoder
from station.config import SessionConfig
from tests.fault_injection.simulated_cable import STEP_SECONDS, Fault
from tests.fault_injection.sweep import Outcome, Point, Sweep, Verdict, audited, judged
from tests.fault_injection.testbed import Testbed, new_testbed, run, station_of
from virtual.cable import End

_PIECES = 8

ByteFault = Callable[[bytes, int], list[tuple[float, bytes]]]
"""Gets a write and the index of the faulty byte; returns the bytes that arrive, and after how many seconds."""


def cut(data: bytes, at: int) -> list[tuple[float, bytes]]:
    return [(0, data[:at])]


def flip(data: bytes, at: int) -> list[tuple[float, bytes]]:
    return [(0, data[:at] + bytes([data[at] ^ 1 << at % 8]) + data[at + 1 :])]


def drop(data: bytes, at: int) -> list[tuple[float, bytes]]:
    return [(0, data[:at] + data[at + 1 :])]


def double(data: bytes, at: int) -> list[tuple[float, bytes]]:
    return [(0, data[: at + 1] + data[at:])]


def delay(data: bytes, at: int, seconds: float) -> list[tuple[float, bytes]]:
    return [(0, data[:at]), (seconds, data[at:])]


@dataclass
class FaultyByte(Fault):
    """One byte of one write is faulty."""

    what: ByteFault
    number: int
    at: int

    def carry(self, write: int, sender: End, data: bytes) -> list[tuple[float, bytes]]:
        if write != self.number:
            return super().carry(write, sender, data)
        self.cut = self.what is cut
        # Signatures vary by a byte or two: a point beyond the end of this write means its last byte.
        return self.what(data, min(self.at, len(data) - (self.what is not cut)))


@dataclass
class Silent(Fault):
    """From one write on, nothing of one end arrives; nothing hangs up."""

    number: int

    def carry(self, write: int, sender: End, data: bytes) -> list[tuple[float, bytes]]:
        hushed = End.STATION if self.number % 2 == 0 else End.PI
        return [] if write >= self.number and sender is hushed else super().carry(write, sender, data)


@dataclass
class Blocked(Fault):
    """From one write on, a port accepts no more bytes."""

    number: int

    def blocks(self, write: int) -> float:
        return 1e9 if write >= self.number else 0


@dataclass
class Slow(Fault):
    """A port accepts each piece of one message within the time-out, and the whole only long after it."""

    number: int

    def blocks(self, write: int) -> float:
        return 0.5 * STEP_SECONDS if write == self.number else 0


@dataclass
class Trickle(Fault):
    """One message arrives in pieces, each just within the time-out, the last long after it."""

    number: int

    def carry(self, write: int, sender: End, data: bytes) -> list[tuple[float, bytes]]:
        if write != self.number:
            return super().carry(write, sender, data)
        size = -(-len(data) // _PIECES)
        return [(n * 0.9 * STEP_SECONDS, data[n * size : (n + 1) * size]) for n in range(_PIECES)]


@cache
def recorded() -> tuple[bytes, ...]:
    """Return the writes of a successful session."""

    async def session(testbed: Testbed) -> tuple[bytes, ...]:
        async with station_of(testbed) as station:
            ended = await testbed.plug(station, testbed.new_pi())
            assert ended.well, ended.told()
            return tuple(data for _, data in ended.writes)

    with new_testbed() as testbed:
        return run(testbed, session(testbed))


def every_byte() -> list[Point]:
    """Return every byte of every write."""
    return [(number, at) for number, data in enumerate(recorded()) for at in range(len(data))]


def every_cut() -> list[Point]:
    """Return the point before the first byte of every write, and the point after each byte."""
    return [(number, at) for number, data in enumerate(recorded()) for at in range(len(data) + 1)]


def every_message() -> list[Point]:
    return list(range(len(recorded())))


def every_answer() -> list[Point]:
    """Return all messages but the Hello, for which no time-out runs."""
    return every_message()[1:]


def classes(what: ByteFault, points: Sequence[Point]) -> dict[object, list[Point]]:
    """Group the points by what the programs above the frame decoder see of the fault.

    They see which frames arrive: now, and at the next frame's first byte. All points of a class have the same effect.
    """
    found: dict[object, list[Point]] = {}
    for number, at in points:
        data = recorded()[number]
        intact = FrameDecoder().receive(data)
        decoder = FrameDecoder()
        pieces = what(data, at)
        now = [payload == intact[0] for _, piece in pieces for payload in decoder.receive(piece)]
        then = [] if what is cut else [payload == intact[0] for payload in decoder.receive(b"\0")]
        split = len(pieces) > 1 and 0 < at < len(data)
        found.setdefault((number, tuple(now), tuple(then), split), []).append((number, at))
    return found


def attempt(what: ByteFault, points: Sequence[Point], *, in_one_go: bool = False) -> Iterable[Verdict]:
    """Try each point with a new unit, which at every other point also loses its power.

    With `in_one_go` the session must survive the fault, without plugging in again.
    """

    async def sweep(testbed: Testbed) -> list[Verdict]:
        async with station_of(testbed) as station:
            verdicts = []
            for point in points:
                pi = testbed.new_pi()
                first = await testbed.plug(station, pi, FaultyByte(what, *point))
                if in_one_go and not first.well:
                    verdicts.append(Verdict(point, Outcome.LOST, f"not in one go: {first.told()}"))
                    continue
                if sum(point) % 2:
                    pi.power_off()
                verdicts.append(await judged(testbed, station, pi, point, first))
            return await audited(testbed, station, verdicts)

    with new_testbed() as testbed:
        return run(testbed, sweep(testbed))


def attempt_silence(what: Callable[[int], Fault], points: Sequence[Point]) -> Iterable[Verdict]:
    """Try silence: the end that waits must give up when its time is over. Both ends use the same clock."""

    async def sweep(testbed: Testbed) -> list[Verdict]:
        async with station_of(testbed) as station:
            verdicts = []
            for number in points:
                pi = testbed.new_pi()
                first = await testbed.plug(station, pi, what(number))
                codes = [getattr(end, "code", None) for end in (first.station, first.pi)]
                # A station sends Hello forever, and nobody waits for the Identity: here the cable is unplugged.
                if number > 1 and "link.silent" not in codes:
                    verdicts.append(Verdict(number, Outcome.LOST, f"nobody gave up: {first.told()}"))
                    continue
                verdicts.append(await judged(testbed, station, pi, number, first))
            return await audited(testbed, station, verdicts)

    with new_testbed() as testbed:
        return run(testbed, sweep(testbed))


def attempt_trickle(what: Callable[[int], Fault], points: Sequence[Point]) -> Iterable[Verdict]:
    """Try a slow peer: as long as bytes arrive, it counts as alive. The end that does not see them gets more time."""

    async def sweep(testbed: Testbed) -> list[Verdict]:
        async with station_of(testbed) as station:
            verdicts = []
            for number in points:
                pi = testbed.new_pi()
                long_wait = 10 * STEP_SECONDS
                by_station = (number % 2 == 0) is (what is Trickle)
                testbed.config = SessionConfig(
                    hello_seconds=1.0, step_seconds=long_wait if by_station else STEP_SECONDS
                )
                first = await testbed.plug(station, pi, what(number), STEP_SECONDS if by_station else long_wait)
                if not first.well:
                    verdicts.append(Verdict(number, Outcome.LOST, f"not in one go: {first.told()}"))
                    continue
                verdicts.append(await judged(testbed, station, pi, number, first))
            return await audited(testbed, station, verdicts)

    with new_testbed() as testbed:
        return run(testbed, sweep(testbed))


SHORT, LONG = 5.0, 2 * STEP_SECONDS

SWEEPS = (
    Sweep("cable cut after a byte, either direction", every_cut, partial(attempt, cut)),
    Sweep("bit of a byte flipped", every_byte, partial(attempt, flip)),
    Sweep("byte dropped", every_byte, partial(attempt, drop)),
    Sweep("byte doubled", every_byte, partial(attempt, double)),
    Sweep(
        "bytes delayed by 5 s (in one go)",
        every_byte,
        partial(attempt, partial(delay, seconds=SHORT), in_one_go=True),
    ),
    Sweep("bytes delayed beyond the time-out", every_byte, partial(attempt, partial(delay, seconds=LONG))),
    Sweep("an end silent from a message on", every_message, partial(attempt_silence, Silent), sample=7),
    Sweep("a port takes no bytes from a message on", every_message, partial(attempt_silence, Blocked), sample=7),
    Sweep("a message trickles for 189 s (in one go)", every_message, partial(attempt_trickle, Trickle), sample=7),
    Sweep("a port takes an answer slowly (in one go)", every_answer, partial(attempt_trickle, Slow), sample=6),
)
BYTE_FAULTS: tuple[tuple[ByteFault, Callable[[], list[Point]]], ...] = (
    (cut, every_cut),
    (flip, every_byte),
    (drop, every_byte),
    (double, every_byte),
    (partial(delay, seconds=SHORT), every_byte),
    (partial(delay, seconds=LONG), every_byte),
)
