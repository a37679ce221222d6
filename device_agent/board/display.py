"""How far the agent is, told to everybody at once: the terminal or journal, `systemctl status`, and the LED."""

from __future__ import annotations

import sys

from device_agent.board.led import Led, Pattern
from device_agent.storage.identity import Identity
from runtime.systemd import notify
from shared.errors import BirthmarkError
from shared.protocol.states import STEPS


class Display:
    """Told of each step, failure and success; `progress` is the agent's `Progress`.

    Its first word that is not the last is what systemd takes for readiness: the agent lives, and goes on by itself.
    """

    def __init__(self, led: Led) -> None:
        self._led = led

    def progress(self, step: int, text: str) -> None:
        """`step` of `STEPS` done; 0 while there is no session."""
        self.say(f"step {step} of {STEPS}: {text}")
        notify(f"Step {step} of {STEPS}: {text}" if step else text, ready=True)
        self._led.show(Pattern.WORKING if step else Pattern.WAITING)

    def failed(self, error: BirthmarkError) -> None:
        """A session came to nothing; the agent goes on."""
        self.say(_told(error))
        notify(_told(error), ready=True)
        self._led.show(Pattern.FAILED)

    def ended(self, error: BirthmarkError) -> None:
        """The agent ends with this; whoever called it prints it."""
        notify(_told(error))
        self._led.show(Pattern.FAILED)

    def provisioned(self, identity: Identity) -> None:
        notify(f"Provisioned as {identity.about.serial} by {identity.about.station}")
        self._led.show(Pattern.DONE)

    def say(self, text: str) -> None:
        """A sentence for the terminal or journal alone."""
        print(text, file=sys.stderr, flush=True)  # noqa: T201 - this is the place that prints


def _told(error: BirthmarkError) -> str:
    return f"{error.sentence}. {error.advice} [{error.code}]"
