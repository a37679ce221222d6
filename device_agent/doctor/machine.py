"""Reads what the checks need of a machine: files of its kernel and of its system. Changes nothing."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from device_agent.board.gadget import Gadget
from device_agent.setup.settings import setting
from device_agent.setup.system import SETTINGS
from device_agent.storage.identity import KEPT, LINK, PROVISIONED
from device_agent.storage.lasting import Kept, kept
from device_agent.storage.state_dir import DEFAULT_STATE_DIR
from device_agent.tpm.source import DEFAULT_TPM
from runtime.clock import SYSTEM_CLOCK, Clock
from shared.text import printable

_READ_BYTES: Final = 256 * 1024
CONFIGFS: Final = "sys/kernel/config/usb_gadget"
CONTROLLERS: Final = "sys/class/udc"


class Machine:
    """One machine. `root` is the path of its `/`, which a test replaces."""

    def __init__(
        self,
        root: Path = Path("/"),
        state_dir: Path = DEFAULT_STATE_DIR,
        tpm: str = DEFAULT_TPM,
        nuc_map: Path | None = None,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        self.root: Final = root
        self.state_dir: Final = state_dir
        self.tpm: Final = tpm
        # What the service reads, too; another state directory is not the service's.
        is_services = state_dir == root / DEFAULT_STATE_DIR.relative_to("/")
        self._settings = self.text(str(SETTINGS.relative_to("/"))) if is_services else ""
        named = setting(self._settings, "BIRTHMARK_NUC_MAP")
        self.nuc_map: Final = nuc_map or (root / named.lstrip("/") if named else state_dir / "nuc.map")
        self.clock: Final = clock
        self.gadget: Final = Gadget(root / CONFIGFS, root / CONTROLLERS)

    def bytes(self, path: str) -> bytes:
        """Return a file's content up to a bound; nothing where it cannot be read."""
        try:
            with (self.root / path).open("rb") as file:
                return file.read(_READ_BYTES)
        except OSError:
            return b""

    def text(self, path: str) -> str:
        return self.bytes(path).decode("utf-8", "replace").rstrip("\0\n")

    def there(self, path: str) -> bool:
        return os.path.lexists(self.root / path)

    def names(self, path: str, pattern: str = "*") -> tuple[str, ...]:
        """Return the names in a directory, sorted."""
        try:
            return tuple(sorted(printable(found.name, 64) for found in (self.root / path).glob(pattern)))
        except OSError:
            return ()

    @property
    def model(self) -> str:
        return printable(self.text("proc/device-tree/model"))

    @property
    def is_pi(self) -> bool:
        return self.model.startswith("Raspberry Pi")

    @property
    def provisioned(self) -> bool:
        return self._state_has(f"{LINK}/{PROVISIONED}")

    @property
    def has_map(self) -> bool:
        """Whether a NUC map waits for the agent, or is sealed."""
        return self.map_bytes is not None or self._state_has(LINK) or self._state_has(KEPT)

    @property
    def map_bytes(self) -> int | None:
        """The size of the NUC map that waits for the agent, or None."""
        try:
            return self.nuc_map.stat().st_size
        except OSError:
            return None

    @property
    def storage(self) -> Kept | None:
        return kept(self.state_dir, self.root / "proc/self/mountinfo")

    @property
    def may_lose_identity(self) -> bool:
        """Whether the settings allow an identity that is lost at power-off."""
        return setting(self._settings, "BIRTHMARK_ALLOW_VOLATILE").lower() in ("1", "true", "t", "yes", "y", "on")

    @property
    def free_bytes(self) -> int | None:
        """The space that the state directory's owner may use on its disk."""
        for place in (self.state_dir, *self.state_dir.absolute().parents):
            try:
                found = os.statvfs(place)
            except OSError:
                continue
            return found.f_bavail * found.f_frsize
        return None

    @property
    def memory_bytes(self) -> int | None:
        """The memory that a program can still get."""
        for line in self.text("proc/meminfo").splitlines():
            name, _, value = line.partition(":")
            amount = value.split()
            if name == "MemAvailable" and amount and amount[0].isascii() and amount[0].isdigit():
                return int(amount[0]) * 1024
        return None

    def _state_has(self, name: str) -> bool:
        return os.path.lexists(self.state_dir / name)
