"""A session from the station's end: a real provisioner, a unit in software, and a line that is a queue."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import msgspec
import pytest

from shared import limits
from shared.errors import BirthmarkError
from shared.protocol.framing import FrameDecoder
from shared.protocol.messages import Challenge, Credentials, Hello, Message, NotReady, Refusal, decode
from shared.protocol.session import Received, Session
from shared.protocol.states import STEPS, UNDERWAY, Role, State
from station.config import SessionConfig
from station.events import BusEvent, PortChanged, PortState
from station.ports import conversation, restraint
from station.ports.conversation import Conversation
from station.provisioning import audit_limiter
from station.provisioning.audit_limiter import AuditLimiter
from station.registry.records import Unit, UnitState
from tests.harness.soft_device import SERIAL, Device
from tests.harness.soft_unit import Provisioning, identity, open_provisioning, prove, receipt_body, sign_receipt

PORT = "/dev/ttyACM0"
LONG_WAITS = SessionConfig(hello_seconds=60.0, step_seconds=60.0)


@pytest.fixture
async def station(tmp_path: Path) -> AsyncIterator[Provisioning]:
    async with open_provisioning(tmp_path) as provisioning:
        yield provisioning


class SoftUnit:
    """The other end, which is honest until it has sent `most` messages, then silent."""

    def __init__(self, station: Provisioning, device: Device | None = None, *, most: int = 9) -> None:
        self.session = Session(Role.AGENT)
        self.device = device or Device()
        self.most = most
        self._station = station

    def __call__(self, data: bytes) -> bytes:
        for event in self.session.receive(data):
            if isinstance(event, Received) and self.most > 0:
                self.most -= 1
                self._answer(event.message)
        return self.session.take_outgoing()

    def _answer(self, message: Message) -> None:
        now = self.session.transcript()
        match message:
            case Hello():
                self.session.send(identity(self.device, now))
            case Challenge():
                self.session.send(prove(self.device, self._station.secret, message, now))
            case Credentials():
                self.session.send(sign_receipt(self.device.device, receipt_body(self.device, message, now), now))


class FakeLine:
    """Passes what the station writes to `unit`; the station reads the unit's answers."""

    def __init__(self, unit: Callable[[bytes], bytes]) -> None:
        self.unit = unit
        self.written: list[bytes] = []
        self.incoming: asyncio.Queue[bytes] = asyncio.Queue()

    async def read(self) -> bytes:
        return await self.incoming.get()

    async def write(self, data: bytes) -> None:
        self.written.append(data)
        if answer := self.unit(data):
            self.incoming.put_nowait(answer)

    def unsent(self) -> bool:
        return False

    def said(self) -> list[Message]:
        return [decode(payload) for payload in FrameDecoder().receive(b"".join(self.written))]


async def run(station: Provisioning, line: FakeLine, config: SessionConfig = LONG_WAITS) -> Unit:
    return await Conversation(line, PORT, station.provisioner, station.bus, config).run()


async def refused(station: Provisioning, line: FakeLine, config: SessionConfig = LONG_WAITS) -> str:
    """Return the code that the session ends with; check that the bus and the audit log have it."""
    with pytest.raises(BirthmarkError) as caught:
        await run(station, line, config)
    [port] = station.bus.ports()
    assert (port.state, port.code) == (PortState.FAILED, caught.value.code)
    [row] = [row for row in await station.log() if row.event == "refused"]
    assert msgspec.json.decode(row.detail)["code"] == caught.value.code
    return caught.value.code


async def test_a_unit_is_provisioned_and_the_operator_follows_every_step(station: Provisioning) -> None:
    line = FakeLine(SoftUnit(station))
    with station.bus.listen() as events:
        unit = await run(station, line)
        told: list[BusEvent] = [events.get_nowait() for _ in range(events.qsize())]
    assert (unit.serial, unit.state, unit.port) == (SERIAL, UnitState.PROVISIONED, PORT)
    ports = [event for event in told if isinstance(event, PortChanged)]
    assert [port.step for port in ports] == sorted(port.step for port in ports)
    assert (ports[-1].state, ports[-1].step, ports[-1].note) == (PortState.DONE, STEPS, "Provisioned")
    assert {port.serial for port in ports} == {SERIAL}
    assert [type(message).__name__ for message in line.said()] == ["Hello", "Challenge", "Credentials", "Done"]


async def test_a_unit_that_comes_back_is_reported_as_known(station: Provisioning) -> None:
    device = Device()
    first = await run(station, FakeLine(SoftUnit(station, device)))
    again = await run(station, FakeLine(SoftUnit(station, device)))
    assert again == first
    [port] = station.bus.ports()
    assert port.note == "Known already: it has its credentials again"


async def test_long_messages_are_written_in_pieces_that_a_line_takes_at_once(station: Provisioning) -> None:
    line = FakeLine(SoftUnit(station))
    await run(station, line)
    assert max(len(piece) for piece in line.written[1:]) <= limits.WRITE_BYTES  # the first is the Hello


# --- Hello ---


class LateUnit(SoftUnit):
    """A unit that does not receive the first two Hellos."""

    deaf = 2

    def __call__(self, data: bytes) -> bytes:
        if self.deaf:
            self.deaf -= 1
            return b""
        return super().__call__(data)


async def test_a_hello_is_repeated_byte_for_byte_until_an_agent_answers(station: Provisioning) -> None:
    line = FakeLine(LateUnit(station))
    await run(station, line, SessionConfig(hello_seconds=0.01, step_seconds=60.0))
    assert line.written[0] == line.written[1] == line.written[2]


async def test_an_old_hello_is_replaced_by_a_new_one(station: Provisioning, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(conversation, "FRESH_HELLO_SECONDS", 0.0)
    line = FakeLine(LateUnit(station))
    await run(station, line, SessionConfig(hello_seconds=0.01, step_seconds=60.0))
    hellos = [message for message in line.said() if isinstance(message, Hello)]
    assert len({hello.nonce for hello in hellos}) == len(hellos) == 3


async def test_a_line_that_has_not_accepted_one_hello_gets_no_second(station: Provisioning) -> None:
    class Full(FakeLine):
        asked = 0

        def unsent(self) -> bool:
            self.asked += 1
            return 1 < self.asked < 4

    line = Full(LateUnit(station))
    await run(station, line, SessionConfig(hello_seconds=0.01, step_seconds=60.0))
    assert line.asked >= 5
    assert len([message for message in line.said() if isinstance(message, Hello)]) == line.asked - 2


# --- failed sessions ---


@pytest.mark.parametrize(("most", "step"), [(1, 2), (2, 4)])
async def test_a_unit_that_falls_silent_gets_a_refusal(station: Provisioning, most: int, step: int) -> None:
    line = FakeLine(SoftUnit(station, most=most))
    config = SessionConfig(hello_seconds=60.0, step_seconds=0.05)
    assert await refused(station, line, config) == "link.silent"
    assert line.said()[-1] == Refusal(code="link.silent")
    [port] = station.bus.ports()
    assert port.step >= step


async def test_a_session_without_end_is_ended(station: Provisioning, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "SESSION_SECONDS", 0.0)
    assert await refused(station, FakeLine(SoftUnit(station))) == "link.slow"
    assert (await station.units()) == []


async def test_a_session_kept_alive_by_noise_is_not_reported_as_silent(
    station: Provisioning, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Babbling(FakeLine):
        async def read(self) -> bytes:
            if self.incoming.empty():
                await asyncio.sleep(0.01)
                return b"noise" + bytes(1)
            return await self.incoming.get()

    monkeypatch.setattr(limits, "SESSION_SECONDS", 0.1)
    with pytest.raises(BirthmarkError) as caught:
        await run(station, Babbling(SoftUnit(station, most=1)), LONG_WAITS)
    assert caught.value.code == "link.slow"
    assert "bytes that are no message" in caught.value.detail
    assert "not the cable" in caught.value.advice


async def test_a_unit_that_reads_nothing_is_reported_as_such(station: Provisioning) -> None:
    class Stuffed(FakeLine):
        async def write(self, data: bytes) -> None:
            if self.written:
                await asyncio.Event().wait()
            await super().write(data)

    line = Stuffed(SoftUnit(station))
    assert await refused(station, line, SessionConfig(hello_seconds=60.0, step_seconds=0.05)) == "link.unread"


async def test_a_units_refusal_is_reported_to_the_operator_with_its_reason(station: Provisioning) -> None:
    class Refusing(SoftUnit):
        def _answer(self, message: Message) -> None:
            if isinstance(message, Challenge):
                self.session.refuse(BirthmarkError("trust.station-untrusted"))
            else:
                super()._answer(message)

    line = FakeLine(Refusing(station))
    assert await refused(station, line) == "session.refused-by-unit"
    assert not any(isinstance(message, Refusal) for message in line.said())
    [row] = await station.log()
    assert "trust.station-untrusted" in row.detail


async def test_a_message_read_with_the_one_before_is_judged_after_the_answer_to_that(station: Provisioning) -> None:
    class Twice(SoftUnit):
        """Sends its Proof twice at once."""

        def __call__(self, data: bytes) -> bytes:
            answer = super().__call__(data)
            return answer * 2 if self.session.state is State.PROVEN and self.most == 7 else answer

    line = FakeLine(Twice(station))
    assert await refused(station, line) == "session.unexpected-message"
    assert [unit.state for unit in await station.units()] == [UnitState.ISSUED]
    assert [type(message).__name__ for message in line.said()] == ["Hello", "Challenge", "Credentials", "Refusal"]


async def test_noise_without_end_is_ended(station: Provisioning) -> None:
    line = FakeLine(lambda _: b"")
    for _ in range(conversation.LINE_BYTES // 65_536 + 2):
        line.incoming.put_nowait(b"~" * 65_536)
    assert await refused(station, line) == "link.noise"


class Unready(SoftUnit):
    """Says for a while that it is not ready, and is then provisioned."""

    def __init__(self, station: Provisioning, code: str, times: int, device: Device | None = None) -> None:
        super().__init__(station, device)
        self.code = code
        self.times = times

    def _answer(self, message: Message) -> None:
        if isinstance(message, Hello) and self.times > 0:
            self.times -= 1
            now = self.session.transcript()
            self.session.send(NotReady(hello=now, model="a Pi", serial=SERIAL, code=self.code))
        else:
            super()._answer(message)


IMPATIENT = SessionConfig(hello_seconds=0.01, step_seconds=60.0)


def ports_of(events: asyncio.Queue[BusEvent]) -> list[PortChanged]:
    told = [events.get_nowait() for _ in range(events.qsize())]
    return [event for event in told if isinstance(event, PortChanged)]


async def test_a_unit_without_its_map_is_shown_as_such_recorded_once_and_asked_until_it_has_one(
    station: Provisioning,
) -> None:
    with station.bus.listen() as events:
        unit = await run(station, FakeLine(Unready(station, "nuc.map-missing", 5)), IMPATIENT)
        told = ports_of(events)
    assert unit.state is UnitState.PROVISIONED
    [shown] = [event for event in told if event.state is PortState.NOT_READY]
    assert (shown.serial, shown.model, shown.code, shown.step) == (SERIAL, "a Pi", "nuc.map-missing", 0)
    assert "nuc capture --guided" in shown.note
    assert PortState.FAILED not in {event.state for event in told}
    rows = [row for row in await station.log() if row.event in ("not-ready", "refused")]
    assert [(row.event, msgspec.json.decode(row.detail)["code"]) for row in rows] == [("not-ready", "nuc.map-missing")]


@pytest.mark.attack("a hostile Pi says that it lacks whatever it likes")
async def test_what_a_unit_lacks_is_a_code_of_our_list_or_none(
    station: Provisioning, got: Callable[[str], None]
) -> None:
    device = Device()
    for code in ("attestation.ek-forged", "evil"):
        with station.bus.listen() as events:
            await run(station, FakeLine(Unready(station, code, 1, device)), IMPATIENT)
            [shown] = [event for event in ports_of(events) if event.state is PortState.NOT_READY]
        assert shown.code == "session.unit-not-ready"
    assert await refused(station, FakeLine(Unready(station, "<b>", 1))) == "message.field-invalid"
    got("other codes become session.unit-not-ready, what is no code ends the session")


async def test_a_unit_that_falls_silent_is_no_longer_shown_as_lacking(
    station: Provisioning, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(conversation, "LACK_SECONDS", 0.05)
    unit = Unready(station, "nuc.map-missing", 1)
    unit.most = 1
    with station.bus.listen() as events:
        running = asyncio.create_task(run(station, FakeLine(unit), IMPATIENT))
        states: list[PortState] = []
        while PortState.WAITING not in states:
            event = await asyncio.wait_for(events.get(), 60)
            if isinstance(event, PortChanged):
                states.append(event.state)
    running.cancel()
    assert states == [PortState.NOT_READY, PortState.WAITING]
    assert station.bus.ports()[0].serial == ""


class Complaining(SoftUnit):
    """Says of itself what the test says, and then nothing more."""

    def __init__(self, station: Provisioning, findings: tuple[str, ...]) -> None:
        super().__init__(station, most=1)
        self._findings = findings

    def _answer(self, message: Message) -> None:
        answer = identity(self.device, self.session.transcript())
        self.session.send(msgspec.structs.replace(answer, findings=self._findings))


async def test_what_a_failing_unit_finds_amiss_on_itself_is_told(station: Provisioning) -> None:
    unit = Complaining(station, ("board.undervoltage", "board.clock-wrong"))
    assert await refused(station, FakeLine(unit), SessionConfig(hello_seconds=60.0, step_seconds=0.05)) == "link.silent"
    [port] = station.bus.ports()
    assert port.findings == ("board.clock-wrong", "board.undervoltage")


@pytest.mark.attack("a hostile Pi says things of itself for the page to show")
async def test_only_findings_of_the_stations_own_list_are_told(
    station: Provisioning, got: Callable[[str], None]
) -> None:
    said = ("attestation.ek-forged", "board.clock-wrong", "evil", "board.clock-wrong", "-" * limits.CODE_CHARACTERS)
    unit = Complaining(station, said)
    assert await refused(station, FakeLine(unit), SessionConfig(hello_seconds=60.0, step_seconds=0.05)) == "link.silent"
    [port] = station.bus.ports()
    assert port.findings == ("board.clock-wrong",)
    got(f"{len(port.findings)} of its {len(said)} codes shown, in the station's words; nothing decided by it")


@pytest.mark.parametrize("said", [("<b>",), ("board.clock-wrong\n",), ("a" * 65,), ("a",) * (limits.FINDINGS + 1)])
async def test_findings_that_are_no_codes_or_too_many_end_the_session(
    station: Provisioning, said: tuple[str, ...]
) -> None:
    assert await refused(station, FakeLine(Complaining(station, said))) == "message.field-invalid"


async def test_a_line_lost_in_a_session_is_reported_as_unplugged(station: Provisioning) -> None:
    class Pulled(FakeLine):
        async def read(self) -> bytes:
            if unit.session.state in UNDERWAY and self.incoming.empty():
                raise OSError("gone")
            return await super().read()

    unit = SoftUnit(station, most=1)
    with pytest.raises(OSError, match="gone"):
        await run(station, Pulled(unit))
    [port] = station.bus.ports()
    assert (port.state, port.code, port.serial) == (PortState.FAILED, "link.lost", SERIAL)


async def test_a_line_that_is_lost_before_anybody_answers_is_no_failure(station: Provisioning) -> None:
    class Pulled(FakeLine):
        async def read(self) -> bytes:
            raise OSError("gone")

    with pytest.raises(OSError, match="gone"):
        await run(station, Pulled(lambda _: b""))
    assert station.bus.ports() == []


async def test_a_bug_ends_the_session_and_tells_the_unit_nothing_of_the_inside(
    station: Provisioning, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def buggy(*_: object) -> None:
        raise ValueError("/var/lib/secret/path")

    monkeypatch.setattr(station.provisioner, "issue", buggy)
    line = FakeLine(SoftUnit(station))
    assert await refused(station, line) == "session.internal"
    assert line.said()[-1] == Refusal(code="session.internal")
    assert b"secret/path" not in b"".join(line.written)


async def test_a_refusal_that_cannot_be_recorded_is_still_sent(
    station: Provisioning, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def unavailable(*_: object) -> None:
        raise BirthmarkError("registry.unavailable")

    monkeypatch.setattr(station.provisioner, "refused", unavailable)
    line = FakeLine(SoftUnit(station, most=1))
    with pytest.raises(BirthmarkError) as caught:
        await run(station, line, SessionConfig(hello_seconds=60.0, step_seconds=0.05))
    assert caught.value.code == "link.silent"
    assert line.said()[-1] == Refusal(code="link.silent")


# --- a known unit that comes back over and over ---


class HangsUpOnCredentials(FakeLine):
    """A line that hangs up when the unit has proven itself and would get its credentials again."""

    async def write(self, data: bytes) -> None:
        await super().write(data)
        if any(isinstance(message, Credentials) for message in self.said()):
            raise OSError("hung up")


@pytest.mark.attack("a known unit resumes its session and hangs up, over and over, to fill the audit log")
async def test_a_known_unit_that_resumes_and_hangs_up_puts_few_rows_into_the_audit_log(
    station: Provisioning, got: Callable[[str], None]
) -> None:
    device = Device()
    await run(station, FakeLine(SoftUnit(station, device)))
    before = len(await station.log())
    times = audit_limiter.BURST + 20
    for _ in range(times):
        with pytest.raises(OSError, match="hung up"):
            await run(station, HangsUpOnCredentials(SoftUnit(station, device)))
    rows = (await station.log())[before:]
    assert {row.event for row in rows} == {"resumed"}
    assert len(rows) <= audit_limiter.BURST + 1  # one more if this takes half a minute
    a_day = audit_limiter.BURST + int(86_400 / audit_limiter.SECONDS_EACH)
    sessions = restraint.BURST + int(86_400 / restraint.SECONDS_EACH)
    got(f"{len(rows)} rows of {times} returns; a port's bounds are {a_day} rows and {sessions} sessions a day")


async def test_the_next_row_of_a_port_counts_the_returns_without_one(station: Provisioning) -> None:
    now = 0.0
    station.bare_station.issuance.audit_limiter = AuditLimiter(lambda: now)  # type: ignore[misc]
    device = Device()
    for _ in range(audit_limiter.BURST + 4):  # the first is no return
        await run(station, FakeLine(SoftUnit(station, device)))
    now += audit_limiter.SECONDS_EACH
    await run(station, FakeLine(SoftUnit(station, device)))
    rows = [msgspec.json.decode(row.detail) for row in await station.log() if row.event == "resumed"]
    assert [row.get("suppressed_before", 0) for row in rows] == [0] * audit_limiter.BURST + [3]
    assert {row["port"] for row in rows} == {PORT}
