"""Shows the agent's state on the terminal or in the journal, in `systemctl status`, and on the LED."""

from __future__ import annotations

import sys

from device_agent.board.led import Led, Pattern
from device_agent.storage.identity import Identity
from runtime.systemd import notify
from shared.errors import BirthmarkError
from shared.protocol.states import STEPS


class Display:
    """Shows each step, failure and success; `progress` is the agent's `Progress`.

    The first call of `progress` or `failed` also tells systemd that the service is ready.
    """

    def __init__(self, led: Led) -> None:
        self._led = led
        self._lack: BirthmarkError | None = None

    def progress(self, step: int, text: str) -> None:
        """Show that `step` of `STEPS` are done; 0 without a session."""
        self.say(f"step {step} of {STEPS}: {text}")
        if self._lack is not None and not step:
            self._show_lack(self._lack)
            return
        notify(f"Step {step} of {STEPS}: {text}" if step else text, ready=True)
        self._led.show(Pattern.WORKING if step else Pattern.WAITING)

    def lacking(self, lack: BirthmarkError | None) -> None:
        """Show what this unit waits for before it waits for a station, or that it is here."""
        self._lack = lack
        if lack is None:
            self.say("The NUC map is here.")
            return
        self.say(f"Waiting for the NUC map: {_told(lack)}")
        self._show_lack(lack)

    def _show_lack(self, lack: BirthmarkError) -> None:
        notify(f"Waiting for the NUC map: {_told(lack)}", ready=True)
        self._led.show(Pattern.NO_MAP)

    def waiting_for(self, error: BirthmarkError) -> None:
        """Show what is not there yet; the agent looks again."""
        self.say(f"{_told(error)} Looking again.")
        notify(_told(error))
        self._led.show(Pattern.WAITING)

    def failed(self, error: BirthmarkError) -> None:
        """Show that a session failed; the agent goes on."""
        self.say(_told(error))
        notify(_told(error), ready=True)
        self._led.show(Pattern.FAILED)

    def ended(self, error: BirthmarkError) -> None:
        """Show the error with which the agent ends. The caller prints it."""
        notify(_told(error))
        self._led.show(Pattern.FAILED)

    def provisioned(self, identity: Identity) -> None:
        notify(f"Provisioned as {identity.about.serial} by {identity.about.station}")
        self._led.show(Pattern.DONE)

    def say(self, text: str) -> None:
        """Print a sentence on the terminal or in the journal only."""
        print(text, file=sys.stderr, flush=True)  # noqa: T201 - this is the place that prints


def _told(error: BirthmarkError) -> str:
    return f"{error.sentence}. {error.advice} [{error.code}]"
