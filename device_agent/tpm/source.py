"""Opens the agent's TPM when it is first needed, and again after it was lost."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from device_agent.tpm import Simulator, Tpm
from shared.errors import BirthmarkError
from shared.text import printable

DEFAULT_TPM: Final = "device:/dev/tpmrm0"
SIMULATOR: Final = "simulator"
APPEARING_SECONDS: Final = 30.0
"""How long after a boot a chip may take to be there: its driver may fail at first and find it later."""

_PAUSE_SECONDS: Final = 0.25
_PAUSE_SECONDS_MAX: Final = 2.0
_NOT_YET: Final = ("tpm.no-device", "tpm.permission", "tpm.busy", "tpm.not-ready", "tpm.gone")
"""No node, a node that udev has not given to its group, one that does not open, one on which a command is lost."""

_NAMED_IN_A_FILE: Final = re.compile(rf"{SIMULATOR}|device:/dev/tpm[A-Za-z0-9_-]{{0,32}}")


def name_from_file(name: str) -> str:
    """Return the name of a TPM that an identity gives. Raises `tpm.name-untyped`.

    Whoever writes the file chooses what this process speaks to, and a name is for the library more than a path: `cmd:`
    is a command that it runs. So only the simulator that lies beside the file and the kernel's own devices are taken
    from there; any other TPM, such as swtpm:path=SOCKET, must be typed.
    """
    if not _NAMED_IN_A_FILE.fullmatch(name):
        raise BirthmarkError("tpm.name-untyped", printable(name, 64))
    return name


class TpmSource:
    """The TPM, opened when it is first needed and again after it was lost.

    A chip that is not there yet is tried again for `wait_seconds`; `waiting` is told why, once for each reason.
    """

    def __init__(
        self,
        name: str,
        state_dir: Path,
        wait_seconds: float = 0.0,
        waiting: Callable[[BirthmarkError], None] = lambda _error: None,
    ) -> None:
        self.name = name
        self._wait_seconds = wait_seconds
        self._waiting = waiting
        self._simulator = Simulator(state_dir) if name == SIMULATOR else None
        self._tpm: Tpm | None = None

    def get(self) -> Tpm:
        if self._tpm is None:
            self._tpm = self._open()
        return self._tpm

    def _open(self) -> Tpm:
        if self._simulator:
            self._simulator.start()
            return Tpm.open(self._simulator.tcti)
        give_up = time.monotonic() + self._wait_seconds
        pause, told = _PAUSE_SECONDS, ""
        while True:
            try:
                return Tpm.open(self.name)
            except BirthmarkError as error:
                if error.code not in _NOT_YET or time.monotonic() >= give_up:
                    raise
                if error.code != told:
                    self._waiting(error)
                told = error.code
                time.sleep(pause)
                pause = min(pause * 2, _PAUSE_SECONDS_MAX)

    def drop(self) -> None:
        """Forget a TPM that failed; the next `get` opens it again."""
        tpm, self._tpm = self._tpm, None
        if tpm:
            tpm.close()

    def close(self) -> None:
        self.drop()
        if self._simulator:
            self._simulator.close()


@contextmanager
def open_tpm(name: str, state_dir: Path) -> Iterator[TpmSource]:
    """Open a TPM. `name` is `simulator` or a TCTI."""
    source = TpmSource(name, state_dir)
    try:
        yield source
    finally:
        source.close()
