"""Guides a person through a capture who presses no key: it looks at frames until they show what it asked for.

First an even light, then the dark of a covered lens. What is still wrong is told, so that it can be changed.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final, Protocol, TypeVar

from device_agent.nuc_map.calibrate import Darks, Flats, Progress, build, take_darks, take_flats
from device_agent.nuc_map.format import MapFile
from device_agent.nuc_map.frames import FrameSource, Light
from device_agent.nuc_map.quality import check_look
from shared.errors import BirthmarkError, ErrorCode

STEADY: Final = 0.01
"""Of full scale: the most by which two looks in a row may differ. A hand that still moves changes more."""
PAUSE_SECONDS: Final = 0.2
"""Between two looks."""
GRACE_SECONDS: Final = 10.0
"""For covering the lens before it is told that light comes in."""

_MENDED: Final[frozenset[ErrorCode]] = frozenset(
    {
        "nuc.dark-not-dark",
        "nuc.frames-mixed",
        "nuc.frames-saturated",
        "nuc.frames-too-dark",
        "nuc.frames-uneven",
    }
)
"""What whoever holds the camera can change."""
_IN_VAIN: Final[dict[Light, ErrorCode]] = {Light.FLAT: "nuc.no-even-light", Light.DARK: "nuc.lens-not-covered"}

TakenT = TypeVar("TakenT", Flats, Darks)


class Guidance(Protocol):
    """Shows a person what to do."""

    def asks(self, light: Light) -> None:
        """Ask for this light."""

    def problem(self, light: Light, problem: BirthmarkError) -> None:
        """Say why the light is not right yet. Called when that changes."""

    def takes(self, light: Light) -> None:
        """Say that the light is right, and to hold still."""

    def took(self) -> None:
        """A frame was taken."""


def capture(
    source: FrameSource,
    frames: int,
    patience: float,
    guidance: Guidance,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> MapFile:
    """Guide somebody through both lights, and return the map.

    `patience` is how many seconds it waits for each. Raises `nuc.no-even-light`, `nuc.lens-not-covered`, and what
    `calibrate` and the source raise.
    """
    guide = _Guide(source, frames, patience, guidance, clock, sleep)
    flats = guide.taken(Light.FLAT, take_flats)
    return build(flats, guide.taken(Light.DARK, take_darks))


class _Guide:
    def __init__(
        self,
        source: FrameSource,
        frames: int,
        patience: float,
        guidance: Guidance,
        clock: Callable[[], float],
        sleep: Callable[[float], None],
    ) -> None:
        self._source = source
        self._frames = frames
        self._patience = patience
        self._guidance = guidance
        self._clock = clock
        self._sleep = sleep

    def taken(self, light: Light, take: Callable[[FrameSource, int, Progress], TakenT]) -> TakenT:
        asked_at = self._clock()
        told = ""
        self._guidance.asks(light)
        while True:
            problem = self._look_until_steady(light, asked_at)
            if problem is None:
                self._guidance.takes(light)
                try:
                    return take(self._source, self._frames, self._guidance.took)
                except BirthmarkError as error:
                    if error.code not in _MENDED:
                        raise
                    problem, told = error, ""
                    self._guidance.asks(light)
            waited = self._clock() - asked_at
            if waited > self._patience:
                raise BirthmarkError(_IN_VAIN[light], f"{problem.sentence}, after {self._patience:g} s")
            if problem.code != told and (light is Light.FLAT or waited > GRACE_SECONDS):
                told = problem.code
                self._guidance.problem(light, problem)
            self._sleep(PAUSE_SECONDS)

    def _look_until_steady(self, light: Light, asked_at: float) -> BirthmarkError | None:
        """Look until two frames in a row are good and alike, which gives None, or one is not."""
        before: list[float] | None = None
        while True:
            try:
                levels = self._look(light)
            except BirthmarkError as error:
                if error.code not in _MENDED:
                    raise
                return error
            if before is not None and max(abs(a - b) for a, b in zip(before, levels, strict=True)) <= STEADY:
                return None
            if self._clock() - asked_at > self._patience:
                return BirthmarkError("nuc.frames-mixed")
            before = levels

    def _look(self, light: Light) -> list[float]:
        for frame in self._source.frames(light, 1):
            return check_look(frame, light)
        raise BirthmarkError("nuc.frames-too-few", "the source has no more")
