"""The machines that QEMU plays: a PC's board, and one with a Zero 2 W's processor and memory."""

from __future__ import annotations

from pathlib import Path
from typing import Final, Protocol


class Board(Protocol):
    """What differs between the machines."""

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


class Arm64:
    """arm64, as slow and small as a Zero 2 W. All its ports are virtio's, `/dev/virtio-ports/NAME` in it.

    Debian's arm64 kernel has no driver for a TPM that QEMU plays, so the TPM's commands go through a port, too:
    `relays/tpm_relay.py` joins it to the kernel. `relays/cable_relay.py` brings the end of the USB cable out.
    """

    machine: tuple[str, ...] = ("qemu-system-aarch64", "-M", "virt,gic-version=3", "-cpu", "cortex-a53", "-m", "512")
    kernel_options = "console=ttyAMA0"
    ports: tuple[str, ...] = ("shell", "cable")

    def join(self, sockets: Path) -> list[str]:
        options = ["-device", "virtio-serial-pci"]
        for port in self.ports:
            options += ["-chardev", f"socket,id={port},path={sockets}/{port},server=on,wait=off",
                        "-device", f"virtserialport,chardev={port},name={port}"]  # fmt: skip
        return options

    def chip(self, socket: Path) -> list[str]:
        return ["-chardev", f"socket,id=chip,path={socket}", "-device", "virtserialport,chardev=chip,name=tpm"]

    def swtpm_options(self, sockets: Path) -> list[str]:
        return ["--flags", "not-need-init,startup-clear", "--server", f"type=unixio,path={sockets}/tpm",
                "--ctrl", f"type=unixio,path={sockets}/tpm-control"]  # fmt: skip


PC: Final[Board] = Pc()
ARM64: Final[Board] = Arm64()
