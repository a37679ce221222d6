"""Opens the agent's TPM when it is first needed, and again after it was lost."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from device_agent.tpm import Simulator, Tpm

DEFAULT_TPM: Final = "device:/dev/tpmrm0"
SIMULATOR: Final = "simulator"


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
