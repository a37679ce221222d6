"""Opens the agent's TPM when it is first needed, and again after it was lost."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from device_agent.tpm import Simulator, Tpm
from shared.errors import BirthmarkError
from shared.text import printable

DEFAULT_TPM: Final = "device:/dev/tpmrm0"
SIMULATOR: Final = "simulator"
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
    """The TPM, opened when it is first needed and again after it was lost."""

    def __init__(self, name: str, state_dir: Path) -> None:
        self.name = name
        self._simulator = Simulator(state_dir) if name == SIMULATOR else None
        self._tpm: Tpm | None = None

    def get(self) -> Tpm:
        if self._tpm is None:
            if self._simulator:
                self._simulator.start()
            self._tpm = Tpm.open(self._simulator.tcti if self._simulator else self.name)
        return self._tpm

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
