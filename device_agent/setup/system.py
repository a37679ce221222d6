"""Reads and writes the files of the system that is set up: this one, or an image's tree.

It runs as root. It follows no link in a file's place, and no link of a directory that leads out of the prefix. In the
state directory of a running system it acts as the user whose that is; in an image's, where nobody runs, it only makes
new files, gives them to that user (by whichever number the image knows them), and renames whole ones.
"""

from __future__ import annotations

import os
import stat
import subprocess
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path, PurePosixPath
from typing import Final

from device_agent.storage.disk import Disk
from device_agent.storage.state_dir import DEFAULT_STATE_DIR
from device_agent.tpm.source import DEFAULT_TPM
from runtime.files import NotRegularError, TooLargeError, read_regular
from runtime.owner import ROOT, User, acting_as, owner_of
from shared import limits
from shared.errors import BirthmarkError

CONFIG_TXT: Final = (PurePosixPath("/boot/firmware/config.txt"), PurePosixPath("/boot/config.txt"))
SETTINGS: Final = PurePosixPath("/etc/default/birthmark-agent")
ROOT_CERTIFICATE: Final = PurePosixPath("/etc/birthmark-agent/root.pem")
INTERMEDIATE: Final = PurePosixPath("/etc/birthmark-agent/intermediate.pem")
STATE: Final = PurePosixPath(DEFAULT_STATE_DIR)
NUC_MAP: Final = STATE / "nuc.map"
SERVICE_USER: Final = "birthmark-agent"
_TEXT_BYTES: Final = 256 * 1024


class System:
    """One system. `prefix` is the path of its `/`."""

    def __init__(self, prefix: Path = Path("/")) -> None:
        self.prefix: Final = prefix
        self._disk = Disk()

    @property
    def live(self) -> bool:
        """Whether it is the running system."""
        return self.prefix == Path("/")

    def place(self, path: PurePosixPath) -> Path:
        """Return the path here of that system's `path`. Raises `setup.outside`."""
        there = self.prefix / path.relative_to("/")
        if not there.parent.resolve().is_relative_to(self.prefix.resolve()):
            raise BirthmarkError("setup.outside", str(there.parent))
        return there

    def config_txt(self) -> PurePosixPath:
        """Find config.txt. Raises `setup.config-missing`."""
        for path in CONFIG_TXT:
            if os.path.lexists(self.place(path)):
                return path
        raise BirthmarkError("setup.config-missing", " or ".join(str(self.place(path)) for path in CONFIG_TXT))

    def read(self, path: PurePosixPath, most: int = _TEXT_BYTES) -> bytes | None:
        """Read a regular file; None if there is none. Raises `setup.file-unfit`, `file.unreadable`."""
        there = self.place(path)
        try:
            return read_regular(there, most)
        except FileNotFoundError:
            return None
        except (NotRegularError, TooLargeError) as error:
            raise BirthmarkError("setup.file-unfit", f"{there}: {error}") from error
        except OSError as error:
            raise BirthmarkError("file.unreadable", f"{there}: {error.strerror}") from error

    def write(self, path: PurePosixPath, data: bytes) -> None:
        """Write a file of root's that everybody may read, as a whole or not at all. Raises `disk.*`."""
        there = self.place(path)
        if not there.parent.exists():
            self._disk.make_directory(there.parent)
            there.parent.chmod(0o755)
            self._disk.sync(there.parent.parent)
        mode = stat.S_IMODE(there.lstat().st_mode) if there.exists() else 0o644
        self._disk.replace(there, data, mode=mode)

    def make_state(self, user: User) -> None:
        """Make the state directory, as the service would."""
        state = self.place(STATE)
        if not os.path.lexists(state):
            self._disk.make_directory(state)
            if os.geteuid() == ROOT:
                descriptor = os.open(state, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
                os.fchown(descriptor, user.uid, user.gid)
                os.close(descriptor)
            self._disk.sync(state.parent)

    def as_owner_of_state(self) -> AbstractContextManager[None]:
        """Act as the user who owns the state directory, in a running system. Raises `data.unreadable`."""
        return acting_as(owner_of(self.place(STATE))) if self.live else nullcontext()

    def write_map(self, data: bytes) -> None:
        """Write the clear NUC map, which only the owner of the state directory can read."""
        with self.as_owner_of_state():
            self._disk.replace(self.place(NUC_MAP), data)

    def map_there(self) -> bytes | None:
        """Return the clear NUC map that waits for the agent, or None."""
        with self.as_owner_of_state():
            return self.read(NUC_MAP, limits.NUC_MAP_BYTES)

    def map_sealed(self) -> bool:
        """Whether there is an identity, or a map kept from one, by their names."""
        with self.as_owner_of_state():
            return any(os.path.lexists(self.place(STATE / name)) for name in ("identity", "kept-nuc-map"))

    def service_user(self) -> User:
        """Find the service's user in that system's own passwd(5). Raises `setup.no-service-user`."""
        for line in (self.read(PurePosixPath("/etc/passwd")) or b"").decode("utf-8", "replace").splitlines():
            name, *fields = line.split(":")
            if name == SERVICE_USER and len(fields) > 2 and fields[1].isdecimal() and fields[2].isdecimal():
                return User(int(fields[1]), int(fields[2]), SERVICE_USER)
        raise BirthmarkError("setup.no-service-user", str(self.place(PurePosixPath("/etc/passwd"))))

    def has_tpm(self) -> bool:
        return self.live and Path(DEFAULT_TPM.partition(":")[2]).exists()

    def restart_agent(self) -> bool:
        """Restart a running service, so that it reads new settings. Returns whether systemd could be asked."""
        if not (self.live and Path("/run/systemd/system").is_dir()):
            return False
        command = ["systemctl", "try-restart", "birthmark-agent.service"]
        return subprocess.run(command, capture_output=True, timeout=60).returncode == 0

    def has_usb_device(self) -> bool:
        """Whether the kernel runs a USB device controller."""
        controllers = Path("/sys/class/udc")
        return self.live and controllers.is_dir() and any(controllers.iterdir())
