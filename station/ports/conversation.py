"""Holds one session over one open line: drives the sans-I/O engine, enforces time limits, calls the provisioner."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Iterator
from typing import Final, Protocol

from shared import limits
from shared.errors import BirthmarkError, ErrorCode
from shared.errors.findings import known_findings
from shared.protocol.expectation import Heard, MessageT, expected
from shared.protocol.messages import Done, Identity, NotReady, Proof, Receipt
from shared.protocol.session import Event, Received, Session
from shared.protocol.states import UNDERWAY, Role, State, steps_done
from shared.text import printable
from station.config import SessionConfig
from station.events import Bus, PortChanged, PortState
from station.provisioning.cable import CableProvisioner
from station.registry.records import Unit

log = logging.getLogger(__name__)

FRESH_HELLO_SECONDS: Final = 60.0
"""How long the station repeats one Hello before it sends a new one with the current time."""

LACK_SECONDS: Final = 10.0
"""How long a device that is not ready is shown after it last said so."""

UNPLUGGED_NOTE: Final = "Unplugged before it was done; plug it in again."

LINE_BYTES: Final = limits.NOISE_BYTES + 2 * limits.FRAME_BYTES
"""Most bytes read in one session, or between two new Hellos while nobody answers: the accepted noise, and an agent's
three messages several times over. It bounds the work that a device can cause by flooding the line."""


class SerialLine(Protocol):
    """An open serial line. `read` and `write` raise OSError when it is gone."""

    async def read(self) -> bytes:
        """Return at least one byte, as soon as there is one."""

    async def write(self, data: bytes) -> None:
        """Write `data`. Returns when the system has accepted all of it."""

    def unsent(self) -> bool:
        """Whether the system still holds bytes of an earlier write, because nobody reads them."""


class Conversation:
    """One session with the device on the line, from the first Hello to the provisioned unit."""

    def __init__(
        self, line: SerialLine, port: str, provisioner: CableProvisioner, bus: Bus, config: SessionConfig
    ) -> None:
        self._line = line
        self._port = port
        self._provisioner = provisioner
        self._bus = bus
        self._config = config
        self._session = Session(Role.STATION)
        self._greeting = provisioner.greet()
        self._serial = ""
        self._model = ""
        self._findings: tuple[ErrorCode, ...] = ()
        self._step = 0
        self._lacked_at: float | None = None
        """When the device last said that it is not ready; None where that is long ago, or never was."""
        self._lack_recorded = False
        self.resumed = False
        """Whether the unit was known already, and was given again what it has."""
        self._events: Iterator[Event] = iter(())
        """What the engine makes of the last bytes that were read."""
        self._taken = 0
        """How many bytes were read in this session, or since the last new Hello."""
        self._greeted_at = self._begun_at = time.monotonic()
        """When the last new Hello was due, and when the session began, or the last wait for an answer to Hello."""

    @property
    def underway(self) -> bool:
        """Whether a device has begun a session that is not over."""
        return self._session.state in UNDERWAY

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
            if self.underway:
                self._tell(PortState.FAILED, UNPLUGGED_NOTE, "link.lost")
            raise
        except Exception as error:
            log.exception("%s: a bug", self._port)
            internal = BirthmarkError("session.internal")
            await self._refuse(internal)
            raise internal from error

    async def _converse(self) -> Unit:
        await self._greet(fresh=True)

        identity, _, after = await self._expect(Identity)
        self._serial = printable(identity.serial, 64)
        self._model = printable(identity.model)
        self._findings = known_findings(identity.findings)
        self._tell(PortState.WORKING, "Checking who this is")
        challenged = self._provisioner.challenge(self._greeting.station, identity, after)
        self._session.send(challenged.message)
        self._tell(PortState.WORKING, "Waiting for the TPM's proof")

        proof, before, after = await self._expect(Proof)
        self._tell(PortState.WORKING, "Verifying the proof")
        issued = await self._provisioner.issue(challenged, proof, before, after, self._port)
        self._session.send(issued.message)
        self._tell(PortState.WORKING, "Waiting for the unit to store its credentials")

        receipt, before, _ = await self._expect(Receipt)
        unit = await self._provisioner.confirm(issued, receipt, before)
        self._session.send(Done())
        self.resumed = issued.granted.resumed
        self._tell(PortState.DONE, "Known already: it has its credentials again" if self.resumed else "Provisioned")
        await self._flush()
        return unit

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
            self._greeting = self._provisioner.greet()
            self._session.send(self._greeting.message)
        else:
            self._session.repeat_hello()
        try:
            async with asyncio.timeout(self._config.hello_seconds):
                await self._line.write(self._session.take_outgoing())
        except TimeoutError:
            log.debug("%s: nobody takes the Hello", self._port)

    async def _expect(self, kind: type[MessageT]) -> Heard[MessageT]:
        """Return the device's next message.

        What this end has to say is written when every message is handled that was read together.
        """
        while True:
            while (event := next(self._events, None)) is None:
                await self._flush()
                self._events = self._session.receive(await self._read())
            if isinstance(event, Received) and isinstance(event.message, NotReady):
                await self._show_lack(event.message)
            else:
                return expected(kind, event, self._session)

    async def _show_lack(self, said: NotReady) -> None:
        """Show what the device says it lacks, and record that once. It is asked again with the next Hello."""
        self._lacked_at = time.monotonic()
        self._serial = printable(said.serial, 64)
        self._model = printable(said.model)
        lack = BirthmarkError(next(iter(known_findings((said.code,))), "session.unit-not-ready"))
        self._tell(PortState.NOT_READY, f"{lack.sentence}. {lack.advice}", lack.code)
        if self._lack_recorded:
            return
        self._lack_recorded = True
        try:
            await self._provisioner.not_ready(self._serial, self._port, lack)
        except BirthmarkError as suppressed:
            log.warning("%s: what it lacks could not be recorded: %s", self._port, suppressed)

    async def _read(self) -> bytes:
        data = await (self._read_within_step() if self.underway else self._read_greeting())
        self._taken += len(data)
        if self._taken > LINE_BYTES:
            raise BirthmarkError("link.noise", f"more than {LINE_BYTES} bytes, and nothing came of them")
        return data

    async def _read_greeting(self) -> bytes:
        """Read from a device that has not answered yet; repeat Hello while it sends nothing."""
        while True:
            self._begun_at = now = time.monotonic()
            try:
                async with asyncio.timeout(self._config.hello_seconds):
                    return await self._line.read()
            except TimeoutError:
                if self._lacked_at is not None and now - self._lacked_at > LACK_SECONDS:
                    self._lacked_at, self._serial, self._model = None, "", ""
                    self._tell(PortState.WAITING, "Waiting for a unit")
                fresh = self._session.state is State.IDLE or now - self._greeted_at > FRESH_HELLO_SECONDS
                if fresh:
                    self._greeted_at, self._taken = now, 0
                await self._greet(fresh=fresh)

    async def _read_within_step(self) -> bytes:
        """Read from a device in a session, in which neither a step nor the whole may take too long."""
        if time.monotonic() - self._begun_at > limits.SESSION_SECONDS:
            raise BirthmarkError("link.slow", self._describe_slow_session())
        try:
            async with asyncio.timeout(self._config.step_seconds):
                return await self._line.read()
        except TimeoutError:
            raise BirthmarkError("link.silent", f"no answer for {self._config.step_seconds:g} s") from None

    async def _flush(self) -> None:
        data = self._session.take_outgoing()
        for start in range(0, len(data), limits.WRITE_BYTES):
            try:
                async with asyncio.timeout(self._config.step_seconds):
                    await self._line.write(data[start : start + limits.WRITE_BYTES])
            except TimeoutError:
                raise BirthmarkError("link.unread", f"for {self._config.step_seconds:g} s") from None

    def _describe_slow_session(self) -> str:
        noise = self._session.noise_bytes
        return f"{limits.SESSION_SECONDS:g} s" + (f", with {noise} bytes that are no message" if noise else "")

    def _tell(self, state: PortState, note: str, code: str = "") -> None:
        self._step = steps_done(self._session.state) or self._step
        self._bus.tell(
            PortChanged(
                self._port,
                state,
                step=self._step,
                serial=self._serial,
                model=self._model,
                note=note,
                code=code,
                findings=self._findings,
            )
        )
