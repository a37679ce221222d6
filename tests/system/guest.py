"""A virtual Pi under QEMU: its power, its TPM, and a root shell in it."""

from __future__ import annotations

import json
import os
import shlex
import signal
import socket
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.system.board import Board
from tests.system.image import USB_DEVICE_MODULE, Image

BOOT_SECONDS: Final = 600.0
KERNEL_OPTIONS: Final = "root=/dev/vda rw quiet panic=-1 mitigations=off systemd.journald.forward_to_console=1"


@dataclass(frozen=True, slots=True)
class Done:
    code: int
    text: str


class Tpm:
    """swtpm as a chip on the board: its state outlives the power."""

    def __init__(self, state: Path, sockets: Path, board: Board) -> None:
        self._state = state
        self._options = board.swtpm_options(sockets)
        self.socket: Final = sockets / "tpm"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self.socket.unlink(missing_ok=True)
        with (self._state / "chip.log").open("ab") as log:
            self._process = subprocess.Popen(
                ["swtpm", "socket", "--tpm2", "--tpmstate", f"dir={self._state}", *self._options],
                stdout=log, stderr=log, stdin=subprocess.DEVNULL,
            )  # fmt: skip
        while not self.socket.exists():
            assert self._process.poll() is None
            time.sleep(0.01)

    def hold(self) -> None:
        """Stop the TPM: it answers no command until `release`."""
        assert self._process
        self._process.send_signal(signal.SIGSTOP)

    def release(self) -> None:
        assert self._process
        self._process.send_signal(signal.SIGCONT)

    def stop(self) -> None:
        if self._process:
            self._process.kill()
            self._process.wait()
            self._process = None


class Guest:
    """One virtual Pi. `console` keeps what it printed over all its boots."""

    def __init__(self, board: Board, image: Image, tpm: Tpm, sockets: Path, console: Path) -> None:
        self._board = board
        self._image = image
        self.tpm: Final = tpm
        self._sockets = sockets
        self.console: Final = console
        self._qemu: subprocess.Popen[bytes] | None = None
        self._shell: socket.socket | None = None
        self._buffer = b""
        self._count = 0

    # --- power ---

    @property
    def running(self) -> bool:
        return self._qemu is not None

    def start(self, *, usb_device: bool = True, tpm: bool = True) -> float:
        """Switch it on and wait for its shell. Returns the seconds it took.

        `usb_device` and `tpm` are what a Pi's firmware makes of the overlays in config.txt: a USB port for devices, and
        a TPM.
        """
        begun = time.monotonic()
        options = f"{KERNEL_OPTIONS} {self._board.kernel_options}"
        if not usb_device:
            options += f" modprobe.blacklist={USB_DEVICE_MODULE}"
        if tpm:
            self.tpm.start()
        chip = self._board.chip(self.tpm.socket) if tpm else []
        for name in (*self._board.ports, "qmp"):
            (self._sockets / name).unlink(missing_ok=True)
        with self.console.open("ab") as output:
            self._qemu = subprocess.Popen(
                [*self._board.machine, "-accel", "tcg,thread=multi", "-smp", "2",
                 "-nodefaults", "-display", "none", "-no-reboot",
                 "-kernel", self._image.kernel, "-initrd", self._image.initrd,
                 "-append", options,
                 "-drive", f"id=disk,file={self._image.disk},if=virtio,format=raw,cache=writeback",
                 "-serial", "stdio", *self._board.join(self._sockets), *chip,
                 "-qmp", f"unix:{self._sockets}/qmp,server=on,wait=off"],
                stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT,
            )  # fmt: skip
        self._shell = self.connect("shell")
        deadline = begun + BOOT_SECONDS
        while True:
            try:
                self.run("true", seconds=3)
                return time.monotonic() - begun
            except TimeoutError:
                assert time.monotonic() < deadline, self.tail()
                assert self._qemu.poll() is None, self.tail()

    def cut_power(self) -> None:
        """Cut the power: what is not on the disk is lost."""
        assert self._qemu
        self._qemu.kill()
        self._ended()

    def power_off(self) -> None:
        """Shut the Pi down in order."""
        assert self._qemu
        self.run("systemctl poweroff --no-block")
        self.went_off()

    def went_off(self, seconds: float = BOOT_SECONDS) -> None:
        """Wait until the Pi has switched itself off, as a restart does here; `start` completes a restart."""
        assert self._qemu
        self._qemu.wait(seconds)
        self._ended()

    def _ended(self) -> None:
        if self._qemu:
            self._qemu.wait()
        if self._shell:
            self._shell.close()
        self.tpm.stop()
        self._qemu = self._shell = None
        self._buffer = b""

    def close(self) -> None:
        if self._qemu:
            self.cut_power()

    def tail(self) -> str:
        return self.console.read_bytes()[-3000:].decode(errors="replace")

    # --- commands in it ---

    def run(self, command: str, seconds: float = 180) -> Done:
        """Run a line in its root shell. Raises TimeoutError."""
        assert self._shell
        self._count += 1
        mark = f"@{os.getpid()}.{self._count}@"
        # The mark is split in the sent line, so that its echo does not count as the answer.
        line = f"{{ {command}\n}} </dev/null 2>&1; printf '\\n%s%s:%d:end\\n' {mark[:3]} {shlex.quote(mark[3:])} $?\n"
        self._shell.sendall(line.encode())
        deadline = time.monotonic() + seconds
        start, end = f"\n{mark}:".encode(), b":end\n"
        while True:
            at = self._buffer.find(start)
            if at >= 0 and (closed := self._buffer.find(end, at)) >= 0:
                text, code = self._buffer[:at], self._buffer[at + len(start) : closed]
                self._buffer = self._buffer[closed + len(end) :]
                return Done(int(code), text.decode(errors="replace").strip())
            self._shell.settimeout(max(0.01, deadline - time.monotonic()))
            data = self._shell.recv(65536)
            assert data, self.tail()
            self._buffer += data

    def good(self, command: str, seconds: float = 180) -> str:
        """Run a command that must succeed, and return its output."""
        done = self.run(command, seconds)
        assert done.code == 0, f"{command}: {done.code}\n{done.text}"
        return done.text

    def eventually(self, condition: str, seconds: float = 180) -> None:
        """Wait until a shell condition holds. The loop runs in the guest, where it costs little."""
        loop = f"for i in $(seq {int(seconds * 5)}); do if {condition}; then exit 0; fi; sleep 0.2; done; exit 1"
        done = self.run(f"timeout {int(seconds)} bash -c {shlex.quote(loop)}", seconds + 30)
        assert done.code == 0, f"never: {condition}\n{self.explain()}"

    def explain(self) -> str:
        return self.run(
            "systemctl status --no-pager -l 'birthmark-*'; journalctl -b -n 60 --no-pager -u 'birthmark-*' -o cat; "
            "ls -l /dev/ttyGS* /dev/ttyACM* /dev/birthmark /dev/tpm*"
        ).text

    def slow_disk(self, writes_per_second: int) -> None:
        """Set the disk's speed; 0 is as fast as possible."""
        with self.connect("qmp") as qmp, qmp.makefile("rwb") as lines:
            lines.readline()
            for command, arguments in (
                ("qmp_capabilities", {}),
                ("block_set_io_throttle",
                 {"device": "disk", "bps": 0, "bps_rd": 0, "bps_wr": 0, "iops": 0, "iops_rd": 0,
                  "iops_wr": writes_per_second}),
            ):  # fmt: skip
                lines.write(json.dumps({"execute": command, "arguments": arguments}).encode() + b"\n")
                lines.flush()
                while "return" not in (answer := json.loads(lines.readline())):
                    assert "error" not in answer, answer

    def port(self, name: str) -> Path:
        """Return where a port of the board, or `qmp`, is while the Pi is on."""
        return self._sockets / name

    def connect(self, name: str) -> socket.socket:
        """Connect to a port of the board, or to `qmp`."""
        path = self.port(name)
        deadline = time.monotonic() + 30
        while True:
            connection = socket.socket(socket.AF_UNIX)
            try:
                connection.connect(str(path))
                return connection
            except (FileNotFoundError, ConnectionRefusedError):
                connection.close()
                assert self._qemu
                assert self._qemu.poll() is None, self.tail()
                assert time.monotonic() < deadline
                time.sleep(0.05)
