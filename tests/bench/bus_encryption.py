"""Measures what encryption on the TPM's bus costs: the same work with it and without it, in turns, on one swtpm.

A TPM chip takes some 200 times longer for the two operations that matter: making the endorsement key once for each
program, and opening a salt with it for each session.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, TypeVar

from tpm2_pytss import ESAPI, ESYS_TR

from device_agent.camera import Camera
from device_agent.session.agent_session import AgentSession
from device_agent.storage.disk import Disk
from device_agent.storage.identity import Identity, IdentityStore
from device_agent.tpm import Simulator, Tpm
from tests.harness.recorded_station import context, open_recorded_station, private

Result = TypeVar("Result")

_ROUNDS_A_PROGRAM: Final = 10


class _InTheClear(Tpm):
    """The agent's TPM without sessions."""

    @contextmanager
    def _encrypted_session(self) -> Iterator[ESYS_TR]:
        yield ESYS_TR.NONE

    def _run(self, what: str, command: Callable[[ESAPI], Result]) -> Result:
        return super()._run(what, lambda esapi: command(_WithoutSessions(esapi)))


class _WithoutSessions:
    """Commands with the library's default instead of a session that is none."""

    def __init__(self, esapi: ESAPI) -> None:
        self._esapi = esapi

    def trsess_set_attributes(self, *_: object) -> None:
        """There is no session to set them of."""

    def __getattr__(self, name: str) -> Callable[..., Any]:
        command = getattr(self._esapi, name)
        return lambda *arguments, **sessions: command(
            *arguments, **{name: session for name, session in sessions.items() if session != ESYS_TR.NONE}
        )


def measure(rounds: int, provisionings: int) -> dict[str, str]:
    figures = _Figures()
    with tempfile.TemporaryDirectory() as directory, Simulator(private(Path(directory) / "tpm")) as simulator:
        for number in range(provisionings):
            for kind in (_InTheClear, Tpm):
                state = private(Path(directory) / f"{kind.__name__}-{number}")
                with _opened(kind, simulator) as tpm:
                    identity = _provision(tpm, state, lambda work, kind=kind: figures.time("a new unit", kind, work))  # type: ignore[misc]
        for kind in (_InTheClear, Tpm) * (rounds // _ROUNDS_A_PROGRAM):
            with _opened(kind, simulator) as tpm:
                camera = Camera(identity, tpm)
                figures.time("a program's first token", kind, camera.token)
                for _ in range(_ROUNDS_A_PROGRAM):
                    figures.time("the hash unsealed again", kind, camera.nuc_hash)
                    figures.time("another token", kind, camera.token)
    return figures.compared()


def _provision(tpm: Tpm, state: Path, timed: Callable[[Callable[[], object]], None]) -> Identity:
    """Provision a new unit at a station of its own."""
    tpm.public_areas()  # an agent makes its keys before a station waits
    store = IdentityStore(state, Disk())
    with open_recorded_station(state) as station:
        timed(lambda: station.meet(lambda: AgentSession(tpm, store, context())))
    identity = store.load()
    if identity is None:
        raise RuntimeError("the unit was not provisioned")
    return identity


class _Figures:
    """Times of each kind of work with each kind of TPM."""

    def __init__(self) -> None:
        self._seconds: dict[str, dict[type[Tpm], list[float]]] = {}

    def time(self, what: str, kind: type[Tpm], work: Callable[[], object]) -> None:
        begun = time.perf_counter()
        work()
        self._seconds.setdefault(what, {}).setdefault(kind, []).append(time.perf_counter() - begun)

    def compared(self) -> dict[str, str]:
        return {what: _compared(times) for what, times in self._seconds.items()}


@contextmanager
def _opened(kind: type[Tpm], simulator: Simulator) -> Iterator[Tpm]:
    tpm = kind.open(simulator.tcti)
    try:
        yield tpm
    finally:
        tpm.close()


def _compared(times: dict[type[Tpm], list[float]]) -> str:
    clear, encrypted = (statistics.median(times[kind]) * 1000 for kind in (_InTheClear, Tpm))
    return f"{encrypted:.2f} ms, {clear:.2f} in the clear, {encrypted / clear:.1f} times  (n = {len(times[Tpm])})"
