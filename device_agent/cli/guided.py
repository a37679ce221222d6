"""What `birthmark-agent nuc capture --guided` shows: by the LED, and in words or lines of JSON."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Final

import click
import msgspec

from device_agent.board.led import Led, Pattern
from shared.errors import BirthmarkError, format_error

if TYPE_CHECKING:
    from device_agent.nuc_map.frames import Light

SHOWN_SECONDS: Final = 3.0
"""How long the LED shows the end, before it belongs to the kernel or the waiting agent again."""

_ASKS: Final = {
    "flat": (Pattern.LIGHT, "Point the camera at an even, bright light, with nothing in the picture."),
    "dark": (Pattern.COVER, "Now cover the lens so that no light comes in, and leave it covered."),
}
"""By the name of a `Light`."""


class GuidedWords:
    """A `Guidance`. It has the LED until it is closed."""

    def __init__(self, led: Led, frames: int, patience: float, as_json: bool) -> None:
        self._led = led
        self._frames = frames
        self._patience = patience
        self._as_json = as_json
        self._left = 0
        led.take()

    def asks(self, light: Light) -> None:
        pattern, text = _ASKS[light.value]
        self._led.show(pattern)
        self._say(text, "ask", light=light.value, seconds=self._patience)

    def problem(self, light: Light, problem: BirthmarkError) -> None:
        text = f"Not yet: {problem.sentence}. {problem.advice}"
        self._say(text, "problem", light=light.value, code=problem.code, advice=problem.advice)

    def takes(self, light: Light) -> None:
        self._led.show(Pattern.WORKING)
        self._left = self._frames
        self._say(f"Good. Hold still: taking {self._frames} frames.", "take", light=light.value, frames=self._frames)

    def took(self) -> None:
        self._left -= 1
        if not self._left and not self._as_json:
            click.echo("They are taken.", err=True)

    def done(self, captured: msgspec.Struct) -> None:
        """Say that the map is written. `captured` describes it, and holds no secret."""
        self._led.show(Pattern.DONE)
        self._say("The NUC map is written. Keep it private.", "done", map=captured)
        self._linger()

    def failed(self, error: BirthmarkError) -> None:
        """Show that nothing was written. The caller prints the error."""
        self._led.show(Pattern.FAILED)
        if self._as_json:
            self._say(format_error(error), "failed", code=error.code, advice=error.advice)
        self._linger()

    def _say(self, text: str, event: str, **more: Any) -> None:
        if self._as_json:
            click.echo(msgspec.json.encode({"event": event, "text": text, **more}))
        else:
            click.echo(text, err=event != "done")

    def _linger(self) -> None:
        if self._led.there:
            time.sleep(SHOWN_SECONDS)
