"""Holds one session over one open line: drives the sans-I/O engine, enforces time limits, calls the provisioner."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import Final, Protocol

from shared import limits
from shared.errors import BirthmarkError
from shared.protocol.messages import Done as DoneMessage
from shared.protocol.messages import Identity, Proof, Receipt, Refusal
from shared.protocol.session import Failed, Received, Session, refusal_error
from shared.protocol.states import UNDERWAY, Role, State, steps_done
from shared.text import printable
from station.config import SessionConfig
from station.events import Bus, PortChanged, PortState
from station.provisioning.cable import CableProvisioner, ChallengedUnit, IssuedUnit
from station.registry.units import Unit

log = logging.getLogger(__name__)

FRESH_HELLO_SECONDS: Final = 60.0
"""How long the station repeats one Hello before it sends a new one with the current time."""

UNPLUGGED_NOTE: Final = "Unplugged before it was done; plug it in again."

LINE_BYTES: Final = limits.NOISE_BYTES + 2 * limits.FRAME_BYTES
"""Most bytes read in one session, or between two new Hellos while nobody answers: the accepted noise, and an agent's
three messages several times over. It bounds the work that a device can cause by flooding the line."""


class Line(Protocol):
    """An open serial line. `read` and `write` raise OSError when it is gone."""

    async def read(self) -> bytes:
        """At least one byte, as soon as there is one."""

    async def write(self, data: bytes) -> None:
        """Returns when the system has accepted all of `data`."""

    def unsent(self) -> bool:
        """Whether the system still holds bytes of an earlier write, because nobody reads them."""


class Conversation:
    """One session with the device on the line, from the first Hello to the provisioned unit."""

    def __init__(self, line: Line, port: str, provisioner: CableProvisioner, bus: Bus, config: SessionConfig) -> None:
        self._line = line
        self._port = port
        self._provisioner = provisioner
        self._bus = bus
        self._config = config
        self._session = Session(Role.STATION)
        self._serial = ""
        self._model = ""
        self._step = 0
        self._challenged: ChallengedUnit | None = None
        self._issued: IssuedUnit | None = None
        self._unit: Unit | None = None

    async def run(self) -> Unit:
        """Send Hello until a device answers, then hold the session. Returns the provisioned unit.

        Raises BirthmarkError for a failed session (a refusal by either side, silence), after recording it and telling
        the device; OSError when the line is gone.
        """
        try:
            return await self._converse()
        except BirthmarkError as error:
            await self._refuse(error)
            raise
        except OSError:
            if self._session.state in UNDERWAY:
                self._tell(PortState.FAILED, UNPLUGGED_NOTE, "link.lost")
            raise
        except Exception as error:
            log.exception("%s: a bug", self._port)
            internal = BirthmarkError("session.internal")
            await self._refuse(internal)
            raise internal from error

    async def _refuse(self, error: BirthmarkError) -> None:
        """Tell the operator, the device and the audit log. A failure to tell one does not stop the others."""
        self._tell(PortState.FAILED, f"{error.sentence}. {error.advice}", error.code)
        self._session.refuse(error)
        try:
            await self._flush()
        except (BirthmarkError, OSError) as unsaid:
            log.debug("%s: the refusal could not be said: %s", self._port, unsaid)
        try:
            await self._provisioner.refused(self._serial, self._port, error)
        except BirthmarkError as suppressed:
            log.warning("%s: the refusal could not be recorded: %s", self._port, suppressed)

    async def _greet(self, *, fresh: bool) -> None:
        """Send Hello. Sends nothing while the line still holds an earlier one, since nobody may be listening."""
        if self._line.unsent():
            return
        if fresh:
            self._session.send(self._provisioner.hello())
        else:
            self._session.repeat_hello()
        try:
            async with asyncio.timeout(self._config.hello_seconds):
                await self._line.write(self._session.take_outgoing())
        except TimeoutError:
            log.debug("%s: nobody takes the Hello", self._port)

    async def _converse(self) -> Unit:
        greeted_at = begun_at = time.monotonic()
        taken = 0
        await self._greet(fresh=True)
        while self._unit is None or self._session.state is not State.DONE:
            now = time.monotonic()
            waiting = self._session.state in (State.IDLE, State.GREETED)
            if waiting:
                begun_at = now
            elif now - begun_at > limits.SESSION_SECONDS:
                raise BirthmarkError("link.slow", self._came_of_it())
            try:
                async with asyncio.timeout(self._config.hello_seconds if waiting else self._config.step_seconds):
                    data = await self._line.read()
            except TimeoutError:
                if not waiting:
                    raise BirthmarkError("link.silent", f"no answer for {self._config.step_seconds:g} s") from None
                fresh = self._session.state is State.IDLE or now - greeted_at > FRESH_HELLO_SECONDS
                if fresh:
                    greeted_at, taken = now, 0
                await self._greet(fresh=fresh)
                continue
            taken += len(data)
            if taken > LINE_BYTES:
                raise BirthmarkError("link.noise", f"more than {LINE_BYTES} bytes, and nothing came of them")
            for event in self._session.receive(data):
                await self._handle(event)
            await self._flush()
        return self._unit

    async def _handle(self, event: Received | Failed) -> None:
        if isinstance(event, Failed):
            raise event.error
        match event.message:
            case Identity() as identity:
                self._serial = printable(identity.serial, 64)
                self._model = printable(identity.model)
                self._tell(PortState.WORKING, "Checking who this is")
                self._challenged = self._provisioner.challenge(identity, self._session.transcript())
                self._session.send(self._challenged.message)
                self._tell(PortState.WORKING, "Waiting for the TPM's proof")
            case Proof() as proof if self._challenged:
                self._tell(PortState.WORKING, "Verifying the proof")
                self._issued = await self._provisioner.issue(
                    self._challenged, proof, event.transcript, self._session.transcript(), self._port
                )
                self._session.send(self._issued.message)
                self._tell(PortState.WORKING, "Waiting for the unit to store its credentials")
            case Receipt() as receipt if self._issued:
                self._unit = await self._provisioner.confirm(self._issued, receipt, event.transcript)
                self._session.send(DoneMessage())
                known = self._issued.issuance.resumed
                self._tell(PortState.DONE, "Known already: it has its credentials again" if known else "Provisioned")
            case Refusal() as refusal:
                error = refusal_error(refusal)
                raise BirthmarkError("session.refused-by-unit", f"{error.sentence} [{refusal.code}]")
            case message:
                raise BirthmarkError("session.unexpected-message", type(message).__name__)

    async def _flush(self) -> None:
        data = self._session.take_outgoing()
        for start in range(0, len(data), limits.WRITE_BYTES):
            try:
                async with asyncio.timeout(self._config.step_seconds):
                    await self._line.write(data[start : start + limits.WRITE_BYTES])
            except TimeoutError:
                raise BirthmarkError("link.unread", f"for {self._config.step_seconds:g} s") from None

    def _came_of_it(self) -> str:
        noise = self._session.noise_bytes
        return f"{limits.SESSION_SECONDS:g} s" + (f", with {noise} bytes that are no message" if noise else "")

    def _tell(self, state: PortState, note: str, code: str = "") -> None:
        self._step = steps_done(self._session.state) or self._step
        self._bus.tell(
            PortChanged(
                self._port, state, step=self._step, serial=self._serial, model=self._model, note=note, code=code
            )
        )
