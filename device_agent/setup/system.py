"""The files of the system that is set up: this one, or an image's tree. Reads and writes, decides nothing.

It runs as root. No file is read or written through a link in its own place, and no directory on the way to it may be a
link that leads out of the prefix. In the directory of the service's user only new files are made, and whole
ones renamed, so that nothing he puts there can lead root astray.
"""

from __future__ import annotations

import errno
import os
import stat
import subprocess
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Final

from device_agent.storage.disk import Disk
from device_agent.storage.state_dir import DEFAULT_STATE_DIR
from device_agent.tpm.source import DEFAULT_TPM
from shared import limits
from shared.errors import BirthmarkError

CONFIG_TXT: Final = (PurePosixPath("/boot/firmware/config.txt"), PurePosixPath("/boot/config.txt"))
SETTINGS: Final = PurePosixPath("/etc/default/birthmark-agent")
ROOT: Final = PurePosixPath("/etc/birthmark-agent/root.pem")
INTERMEDIATE: Final = PurePosixPath("/etc/birthmark-agent/intermediate.pem")
STATE: Final = PurePosixPath(DEFAULT_STATE_DIR)
NUC_MAP: Final = STATE / "nuc.map"
SERVICE_USER: Final = "birthmark-agent"
_TEXT_BYTES: Final = 256 * 1024


@dataclass(frozen=True, slots=True)
class User:
    uid: int
    gid: int


class System:
    """`prefix` is where the system's `/` is."""

    def __init__(self, prefix: Path = Path("/")) -> None:
        self.prefix: Final = prefix
        self._disk = Disk()

    @property
    def live(self) -> bool:
        """Whether it is the one that runs now."""
        return self.prefix == Path("/")

    def place(self, path: PurePosixPath) -> Path:
        """Where the file `path` of that system is. Raises `setup.outside`."""
        there = self.prefix / path.relative_to("/")
        if not there.parent.resolve().is_relative_to(self.prefix.resolve()):
            raise BirthmarkError("setup.outside", str(there.parent))
        return there

    def config_txt(self) -> PurePosixPath:
        """Raises `setup.config-missing`."""
        for path in CONFIG_TXT:
            if os.path.lexists(self.place(path)):
                return path
        raise BirthmarkError("setup.config-missing", " or ".join(str(self.place(path)) for path in CONFIG_TXT))

    def read(self, path: PurePosixPath, most: int = _TEXT_BYTES) -> bytes | None:
        """A whole ordinary file, or None where there is none. Raises `setup.file-unfit`, `file.unreadable`."""
        there = self.place(path)
        try:
            descriptor = os.open(there, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        except FileNotFoundError:
            return None
        except OSError as error:
            if error.errno == errno.ELOOP:
                raise BirthmarkError("setup.file-unfit", f"{there} is a link") from error
            raise BirthmarkError("file.unreadable", f"{there}: {error.strerror}") from error
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            os.close(descriptor)
            raise BirthmarkError("setup.file-unfit", str(there))
        with os.fdopen(descriptor, "rb") as file:
            data = file.read(most + 1)
        if len(data) > most:
            raise BirthmarkError("setup.file-unfit", f"{there} has more than {most >> 10} KiB")
        return data

    def write(self, path: PurePosixPath, data: bytes) -> None:
        """A file of root's that everybody may read: whole, or as it was. Raises `disk.*`."""
        there = self.place(path)
        if not there.parent.exists():
            self._disk.make_directory(there.parent)
            there.parent.chmod(0o755)
            self._disk.sync(there.parent.parent)
        mode = stat.S_IMODE(there.lstat().st_mode) if there.exists() else 0o644
        self._disk.replace(there, data, mode)

    def make_state(self, user: User) -> None:
        """The state directory, as the service would make it."""
        state = self.place(STATE)
        if not state.exists():
            self._disk.make_directory(state)
            if os.geteuid() == 0:
                os.chown(state, user.uid, user.gid, follow_symlinks=False)
            self._disk.sync(state.parent)

    def write_map(self, data: bytes) -> None:
        """The clear NUC map, for the owner of the state directory alone."""
        self._disk.replace(self.place(NUC_MAP), data)

    def map_there(self) -> bytes | None:
        """The clear NUC map that waits for the agent, or None."""
        return self.read(NUC_MAP, limits.NUC_MAP_BYTES)

    def map_sealed(self) -> bool:
        """Whether there is an identity, or a map kept from one. Only names are looked at."""
        return any(os.path.lexists(self.place(STATE / name)) for name in ("identity", "kept-nuc-map"))

    def service_user(self) -> User:
        """From that system's own passwd(5). Raises `setup.no-service-user`."""
        for line in (self.read(PurePosixPath("/etc/passwd")) or b"").decode("utf-8", "replace").splitlines():
            name, *fields = line.split(":")
            if name == SERVICE_USER and len(fields) > 2 and fields[1].isdecimal() and fields[2].isdecimal():
                return User(int(fields[1]), int(fields[2]))
        raise BirthmarkError("setup.no-service-user", str(self.place(PurePosixPath("/etc/passwd"))))

    def has_tpm(self) -> bool:
        return self.live and Path(DEFAULT_TPM.partition(":")[2]).exists()

    def restart_agent(self) -> bool:
        """Have a service that runs take new settings; returns whether it could be asked to."""
        if not (self.live and Path("/run/systemd/system").is_dir()):
            return False
        command = ["systemctl", "try-restart", "birthmark-agent.service"]
        return subprocess.run(command, capture_output=True, timeout=60).returncode == 0

    def has_usb_device(self) -> bool:
        """Whether the kernel runs a USB device controller."""
        controllers = Path("/sys/class/udc")
        return self.live and controllers.is_dir() and any(controllers.iterdir())
