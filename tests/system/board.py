"""The machine that QEMU plays, and how its TPM and its ports are joined to the test."""

from __future__ import annotations

from pathlib import Path
from typing import Final, Protocol


class Board(Protocol):
    """What differs from one machine to another."""

    machine: tuple[str, ...]
    kernel_options: str
    ports: tuple[str, ...]
    """What is joined to the guest by a socket of that name; `shell` is one."""

    def join(self, sockets: Path) -> list[str]:
        """Return QEMU's options for the ports."""
        ...

    def chip(self, socket: Path) -> list[str]:
        """Return QEMU's options for a TPM, which swtpm plays at that socket."""
        ...

    def swtpm_options(self, sockets: Path) -> list[str]: ...


class Pc:
    """amd64. Its second serial port is the test's shell, on the third a person may type (`console.py`)."""

    machine: tuple[str, ...] = ("qemu-system-x86_64", "-M", "q35", "-cpu", "max,-avx,-avx2,-f16c,-fma", "-m", "1024")
    """Without the instructions that QEMU 7.2 (Bookworm) emulates wrongly: numpy crashes on them."""

    kernel_options = "console=ttyS0 tsc=reliable"
    ports: tuple[str, ...] = ("shell", "terminal")

    def join(self, sockets: Path) -> list[str]:
        return [option for port in self.ports for option in ("-serial", f"unix:{sockets}/{port},server=on,wait=off")]

    def chip(self, socket: Path) -> list[str]:
        return ["-chardev", f"socket,id=chip,path={socket}", "-tpmdev", "emulator,id=tpm,chardev=chip",
                "-device", "tpm-tis,tpmdev=tpm"]  # fmt: skip

    def swtpm_options(self, sockets: Path) -> list[str]:
        return ["--flags", "startup-clear", "--ctrl", f"type=unixio,path={sockets}/tpm"]


PC: Final[Board] = Pc()
