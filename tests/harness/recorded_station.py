"""A real station and a real agent on a real pty that records every byte. Tests replace either end by a dishonest one.

The station runs in its own event loop, in a thread; the agent in the test's thread.
"""

from __future__ import annotations

import asyncio
import threading
from base64 import b16encode
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import Future, wait
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, TypeVar

import msgspec
import sqlalchemy as sa
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from device_agent.board.device_tree import Board
from device_agent.session.agent_session import AgentContext, AgentSession
from device_agent.session.conversation import SerialLine, converse
from device_agent.session.link import Link
from device_agent.session.trusted_authority import TrustedAuthority
from device_agent.storage.identity import Identity
from device_agent.storage.sealed_map import NucMap
from shared import limits
from shared.errors import BirthmarkError
from shared.protocol.framing import FrameDecoder
from shared.protocol.messages import Message, Refusal, decode
from shared.types import BoardSerial, board_serial
from station.config import AttestationConfig, EkPolicy, EkTemplateName, SessionConfig, StationConfig, TablesConfig
from station.ports.conversation import Conversation
from station.ports.port import open_line
from station.provisioning.cable import CableProvisioner
from station.registry import audit
from station.registry.records import Unit
from station.registry.schema import assignments, units
from station.services import Services
from station.setup.init import init_data_dir
from station.setup.open import open_station
from station.setup.root_key import ROOT_KEY_NAME
from tests.harness import issuing
from virtual.cable import Cable, End
from virtual.timeouts import GREETING_SECONDS, TIMEOUT_SECONDS

HELLO_SECONDS: Final = 0.1
"""Agents answer within milliseconds; the default of a second would take most of the suite's time."""

SHORT_WAIT_SECONDS: Final = 1.0
"""The time-out for an answer that never comes."""

_ROOT_PASSPHRASE: Final = "a passphrase for tests"

Result = TypeVar("Result")

SERIAL: Final = board_serial("10000000abcdef01")
NUC_MAP: Final = NucMap(b"a sensor's map" * 64)


def private(folder: Path) -> Path:
    """Make a directory private, as a state directory must be."""
    folder.mkdir(exist_ok=True)
    folder.chmod(0o700)
    return folder


def context(
    serial: BoardSerial = SERIAL, nuc_map: NucMap | None = NUC_MAP, authority: TrustedAuthority | None = None
) -> AgentContext:
    return AgentContext(Board(serial, "Raspberry Pi Zero 2 W"), "simulator", nuc_map, authority)


@dataclass
class Recording:
    """Records what crosses the cable: a `virtual.cable.Spoil` that changes nothing."""

    sent: dict[End, bytes] = field(default_factory=lambda: dict.fromkeys(End, b""))

    def __call__(self, sender: End, data: bytes) -> bytes:
        self.sent[sender] += data
        return data

    def payloads(self, sender: End) -> list[bytes]:
        return FrameDecoder().receive(self.sent[sender])

    def messages(self, sender: End) -> list[Message]:
        """Return the messages that can be decoded; a dishonest agent's may be malformed."""
        found = []
        for payload in self.payloads(sender):
            try:
                found.append(decode(payload))
            except BirthmarkError:
                continue
        return found

    def kinds(self, sender: End) -> list[str]:
        """Return the messages by name; repeated ones (a Hello, and its answer) once."""
        return [type(message).__name__ for message in dict.fromkeys(self.messages(sender))]

    def refusals(self, sender: End) -> list[str]:
        return [message.code for message in self.messages(sender) if isinstance(message, Refusal)]

    def holds(self, secret: bytes) -> bool:
        """Whether `secret` crossed, raw, in a frame, or in hexadecimal."""
        everything = b"".join([*self.sent.values(), *(load for end in End for load in self.payloads(end))])
        spelled = b16encode(secret)
        return any(form in everything for form in (secret, spelled, spelled.lower()))


@dataclass(frozen=True)
class SessionOutcome:
    """One session: what crossed, and the agent's result."""

    recording: Recording
    identity: Identity | None
    error: BirthmarkError | None

    @property
    def code(self) -> str:
        return self.error.code if self.error else ""

    def __repr__(self) -> str:
        """Return what a failing test should show."""
        said = {end.value: self.recording.kinds(end) for end in End}
        refused = {end.value: self.recording.refusals(end) for end in End}
        return f"Meeting({said}, refusals {refused}, the agent's end: {self.error})"


class BegunAnew(BaseException):
    """Raised by a dishonest station's step, to leave the session there and then and say Hello again."""


@dataclass(frozen=True)
class _ShortWait:
    """A SessionConfig whose step time is the product's until the agent has sent its last honest message, then short."""

    recording: Recording
    after: type[Message]
    hello_seconds: float = HELLO_SECONDS

    @property
    def step_seconds(self) -> float:
        said = any(isinstance(message, self.after) for message in self.recording.messages(End.PI))
        return SHORT_WAIT_SECONDS if said else limits.STEP_SECONDS


@dataclass(frozen=True)
class RegistryContents:
    """All that a session can leave behind in a station."""

    units: tuple[tuple[Any, ...], ...]
    assignments: tuple[tuple[Any, ...], ...]
    audit: tuple[audit.Row, ...]

    def refusals_since(self, before: RegistryContents) -> list[tuple[str, str]]:
        """Serial number and code of each refusal in the audit log after `before`."""
        rows = self.audit[len(before.audit) :]
        return [(row.serial, msgspec.json.decode(row.detail)["code"]) for row in rows if row.event == "refused"]

    def events_since(self, before: RegistryContents) -> list[str]:
        return [row.event for row in self.audit[len(before.audit) :]]


class RecordedStation:
    """An open station. `provisioner` may be another than its own, for a dishonest station."""

    def __init__(self, directory: Path, loop: asyncio.AbstractEventLoop, station: Services) -> None:
        self._directory = directory
        self._loop = loop
        self.station: Final = station

    def root_key(self) -> ec.EllipticCurvePrivateKey:
        """The root's, which `init` leaves in the data directory."""
        pem = (self.station.data_dir / ROOT_KEY_NAME).read_bytes()
        key = load_pem_private_key(pem, _ROOT_PASSPHRASE.encode())
        assert isinstance(key, ec.EllipticCurvePrivateKey)
        return key

    def run(self, work: Coroutine[Any, Any, Result]) -> Result:
        """Run `work` in the station's event loop."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(TIMEOUT_SECONDS)

    def contents(self) -> RegistryContents:
        async def read() -> RegistryContents:
            async with self.station.database.read() as connection:
                rows = [
                    tuple(tuple(row) for row in await connection.execute(sa.select(table).order_by(*table.primary_key)))
                    for table in (units, assignments)
                ]
                return RegistryContents(rows[0], rows[1], tuple(await audit.read(connection)))

        return self.run(read())

    def listed(self) -> list[Unit]:
        async def read() -> list[Unit]:
            async with self.station.database.read() as connection:
                return await issuing.listed(connection)

        return self.run(read())

    @contextmanager
    def plugged(
        self, provisioner: CableProvisioner | None = None, *, short_wait_after: type[Message] | None = None
    ) -> Iterator[Served]:
        """Open a cable of which the station serves one end for one session, and one more after each BegunAnew."""
        recording = Recording()
        config: Any = SessionConfig(hello_seconds=HELLO_SECONDS)
        if short_wait_after:
            config = _ShortWait(recording, short_wait_after)

        async def serve(path: Path) -> None:
            async with open_line(path) as line:
                while True:
                    try:
                        await Conversation(
                            line, str(path), provisioner or self.station.provisioner, self.station.bus, config
                        ).run()
                        return
                    except BegunAnew:
                        continue

        with Cable(self._directory, recording) as cable:
            served = Served(cable.paths[End.PI], recording, lambda: serve(cable.paths[End.STATION]), self._loop)
            try:
                yield served
            finally:
                served.close()

    def meet(
        self,
        agent_session: Callable[[], AgentSession],
        *,
        provisioner: CableProvisioner | None = None,
        line: Callable[[Link], SerialLine] = lambda link: link,
        short_wait_after: type[Message] | None = None,
    ) -> SessionOutcome:
        """Hold one session of the agent that `agent_session` makes, over `line`.

        Once the agent has sent a message of the type `short_wait_after`, the station does not wait long for another.
        """
        identity = error = None
        with self.plugged(provisioner, short_wait_after=short_wait_after) as served, closing(Link(served.port)) as link:
            served.begin()
            try:
                identity = converse(line(link), agent_session, lambda _step, _text: None, wait_seconds=GREETING_SECONDS)
            except BirthmarkError as ended:
                error = ended
            served.end()
        return SessionOutcome(served.recording, identity, error)


class Served:
    """One session of the station, on a cable. `end` returns when all its results are written."""

    def __init__(
        self,
        port: Path,
        recording: Recording,
        serve: Callable[[], Coroutine[Any, Any, None]],
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        self.port: Final = port
        self.recording: Final = recording
        self._serve = serve
        self._loop = loop
        self._session: Future[None] | None = None

    def begin(self) -> None:
        """Send the Hello. The Pi's end must be open, because a terminal loses what comes before."""
        self._session = asyncio.run_coroutine_threadsafe(self._serve(), self._loop)

    def end(self) -> None:
        """Wait until the session is over."""
        assert self._session is not None
        error = self._session.exception(TIMEOUT_SECONDS)
        if error is not None and not isinstance(error, BirthmarkError):
            raise error

    def close(self) -> None:
        if self._session is not None:
            self._session.cancel()
            wait([self._session], TIMEOUT_SECONDS)


@contextmanager
def open_recorded_station(
    directory: Path,
    *,
    policy: EkPolicy = EkPolicy.SIMULATOR,
    ek_roots: Path | None = None,
    ek_template: EkTemplateName = EkTemplateName.L_2,
    tables: int = 10,
) -> Iterator[RecordedStation]:
    """Make a station in `directory`, and open it."""
    config = StationConfig(
        attestation=AttestationConfig(ek_policy=policy, ek_template=ek_template), tables=TablesConfig(count=tables)
    )
    data_dir = directory / "data"
    init_data_dir(data_dir, config, force=False, root_passphrase=_ROOT_PASSPHRASE, ek_roots=ek_roots)
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="station")
    thread.start()
    opened = open_station(data_dir)
    try:
        station = asyncio.run_coroutine_threadsafe(opened.__aenter__(), loop).result(TIMEOUT_SECONDS)
        try:
            yield RecordedStation(directory, loop, station)
        finally:
            asyncio.run_coroutine_threadsafe(opened.__aexit__(None, None, None), loop).result(TIMEOUT_SECONDS)
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()
