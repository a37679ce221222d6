"""A TPM as chips are: slow, asking to be asked again, not always ready when the Pi is. Real programs, swtpm behind."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from itertools import count, pairwise
from pathlib import Path
from typing import Protocol

import pytest
from tpm2_pytss import ESAPI, TSS2_Exception

from device_agent.tpm import Tpm, connection
from shared import limits
from shared.errors import BirthmarkError
from tests.harness.chip import NO_REFUSAL, NV_RATE, RETRY, TESTING, YIELDED, Chip, chip
from tests.harness.chip_times import MAKE_RSA, seconds_of
from tests.harness.vendor_lab import write_roots
from virtual.pi import VirtualPi
from virtual.station import VirtualStation
from virtual.timeouts import TIMEOUT_SECONDS, WAIT_OPTIONS

LIBRARY_TRIES = 5
"""How often tpm2-tss 3.2 sends a command by itself, without a pause, when the TPM asks for it again."""


class StartedStation(Protocol):
    def __call__(self, template: str, step_seconds: float = limits.STEP_SECONDS) -> VirtualStation: ...


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chip]:
    """One for all tests: making a TPM takes a second or two."""
    directory = tmp_path_factory.mktemp("chip")
    directory.chmod(0o700)
    with chip(directory) as made:
        yield made


@pytest.fixture
def slb9670(made: Chip) -> Iterator[Chip]:
    """The chip, off, with no faults."""
    yield made
    made.off()


@pytest.fixture
def pi(tmp_path: Path) -> Iterator[VirtualPi]:
    pi = VirtualPi(tmp_path / "pi", 50)
    pi.nuc_map.write_bytes(b"a sensor's map" * 64)
    with pi.cable:
        yield pi


@pytest.fixture
def station(tmp_path: Path, slb9670: Chip) -> Iterator[StartedStation]:
    """Starts a station that asks for an EK of that template, and knows the chip's vendor."""
    with VirtualStation(tmp_path / "station", f"{tmp_path}/pi/station") as made:

        def start(template: str, step_seconds: float = limits.STEP_SECONDS) -> VirtualStation:
            made.init("--ek-template", template)
            settings = made.data_dir / "station.toml"
            was, wanted = f"step_seconds = {limits.STEP_SECONDS}", f"step_seconds = {step_seconds}"
            assert was in settings.read_text()
            settings.write_text(settings.read_text().replace(was, wanted))
            write_roots(made.data_dir / "ek-roots", slb9670.vendor)
            made.start()
            return made

        yield start


def options(chip: Chip) -> tuple[str, ...]:
    return "--tpm", chip.tcti, "--allow-volatile", *WAIT_OPTIONS


def the_chips_time_for_each_step(pi: VirtualPi, chip: Chip) -> list[float]:
    """Hold one session with production's time-outs. Returns what the chip took for each of its steps."""
    agent = pi.start("--once", *options(chip))
    assert agent.stderr is not None
    said, at = [], []
    for line in agent.stderr:
        said.append(line)
        if line.startswith("step "):
            at.append(chip.seconds())
    agent.communicate(timeout=TIMEOUT_SECONDS)
    assert agent.returncode == 0, said
    return [after - before for before, after in pairwise(at)]


@pytest.mark.parametrize(("template", "keys"), [("L-2", 0), ("L-1", 1)])
def test_a_session_with_a_slow_chip_meets_no_time_out(
    slb9670: Chip, pi: VirtualPi, station: StartedStation, template: str, keys: int
) -> None:
    """By the times that are published for an SLB 9670, with production's time-outs."""
    serving = station(template)
    slb9670.time = seconds_of
    slb9670.on()
    steps = the_chips_time_for_each_step(pi, slb9670)
    assert pi.status()["state"] == "provisioned"
    assert [unit["state"] for unit in serving.devices()] == ["provisioned"]
    assert [command.seconds for command in slb9670.commands].count(MAKE_RSA) == keys
    assert sum(steps) > 3, "the chip took its time"
    assert max(steps[1:]) * 5 < limits.STEP_SECONDS, "and even a chip that is five times slower would not take too long"


def test_a_station_greets_on_while_a_chip_makes_the_key_that_it_asks_for(
    slb9670: Chip, pi: VirtualPi, station: StartedStation
) -> None:
    """A chip may look for an RSA key's primes for longer than a step may take."""
    step_seconds = 5.0
    slb9670.time = lambda command: 1.5 * step_seconds if seconds_of(command) == MAKE_RSA else 0.0
    slb9670.on()
    station("L-1", step_seconds=step_seconds)
    first, *_ = the_chips_time_for_each_step(pi, slb9670)
    assert first == 1.5 * step_seconds
    assert pi.status()["state"] == "provisioned"


class Stubborn:
    """Refuses every command before it carries it out: once, twice, up to seven times, and so on from once."""

    def __init__(self) -> None:
        self.reasons = Counter[int]()
        self._left = 1
        self._commands = count(1)

    def __call__(self) -> int:
        if not self._left:
            self._left = 1 + next(self._commands) % (LIBRARY_TRIES + 2)
            return 0
        self._left -= 1
        reason = (RETRY, YIELDED, TESTING, NV_RATE)[self.reasons.total() % 4]
        self.reasons[reason] += 1
        return reason


def test_a_chip_that_asks_for_each_command_again_is_provisioned(
    slb9670: Chip, pi: VirtualPi, station: StartedStation
) -> None:
    station("L-2")
    slb9670.refusal = stubborn = Stubborn()
    slb9670.on()
    the_chips_time_for_each_step(pi, slb9670)
    assert pi.status()["state"] == "provisioned"
    assert min(stubborn.reasons.values()) > 50
    assert stubborn.reasons.total() > 3 * sum(not command.refused for command in slb9670.commands)


def test_an_agent_waits_for_a_chip_that_is_not_there_or_not_ready_at_boot(
    slb9670: Chip, pi: VirtualPi, station: StartedStation
) -> None:
    station("L-2")
    agent = pi.start("--until-provisioned", *options(slb9670))
    assert agent.stderr is not None
    said: list[str] = []

    def wait_for(code: str) -> None:
        while not said or f"[{code}]" not in said[-1]:
            line = agent.stderr.readline() if agent.stderr else ""
            assert line, said
            said.append(line)

    wait_for("tpm.no-device")
    with slb9670.unopenable():
        wait_for("tpm.not-ready")
    slb9670.lost_probes = 2
    slb9670.on()
    wait_for("tpm.gone")
    _, rest = agent.communicate(timeout=TIMEOUT_SECONDS)
    assert agent.returncode == 0, (said, rest)
    assert "Provisioned as" in rest
    assert pi.status()["state"] == "provisioned"


@pytest.mark.parametrize(
    ("reason", "tries"), [(RETRY, LIBRARY_TRIES), (YIELDED, LIBRARY_TRIES), (TESTING, LIBRARY_TRIES), (NV_RATE, 1)]
)
def test_the_library_sends_a_command_again_a_few_times_and_gives_up(slb9670: Chip, reason: int, tries: int) -> None:
    """What `device_agent.tpm.connection` builds on: without it, a chip that tests itself for a second would fail."""
    slb9670.on()
    with ESAPI(slb9670.tcti) as esapi:
        slb9670.commands.clear()
        slb9670.refusal = lambda: reason
        with pytest.raises(TSS2_Exception) as caught:
            esapi.get_random(8)
        assert caught.value.rc == reason
        assert len(slb9670.commands) == tries


@pytest.mark.parametrize("reason", [RETRY, YIELDED, TESTING, NV_RATE])
def test_a_chip_that_asks_without_end_is_not_ready_and_can_be_used_once_it_is(
    slb9670: Chip, monkeypatch: pytest.MonkeyPatch, reason: int
) -> None:
    monkeypatch.setattr(connection, "AGAIN_SECONDS", 0.3)
    slb9670.on()
    tpm = Tpm.open(slb9670.tcti)
    try:
        tpm.public_areas()
        slb9670.refusal = lambda: reason
        with pytest.raises(BirthmarkError) as caught:
            tpm.seal(b"a secret")
        assert caught.value.code == "tpm.not-ready"
        assert caught.value.kind.retry
        assert f"{reason:#x}" in caught.value.detail
        slb9670.refusal = NO_REFUSAL
        assert tpm.unseal(tpm.seal(b"a secret")) == b"a secret"
    finally:
        slb9670.refusal = NO_REFUSAL
        tpm.close()
