"""A TPM chip at a device node: a real swtpm that takes a chip's time, asks to be asked again, or is not ready yet.

The node is a link to a pseudo terminal, which the library's TCTI `device` opens, writes and reads like /dev/tpmrm0.
"""

from __future__ import annotations

import os
import select
import socket
import threading
import time
import tty
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey

from device_agent.tpm import Simulator, Tpm, templates
from station.attestation.tpm2.structures import read_public
from tests.harness.chip_nv import write_nv
from tests.harness.vendor_lab import Vendor

RETRY, YIELDED, TESTING, NV_RATE = 0x922, 0x908, 0x90A, 0x920
"""TPM 2.0 Part 2, 6.6.3: the same command may succeed later."""

NO_TIME: Final[Callable[[bytes], float]] = lambda _command: 0.0  # noqa: E731
NO_REFUSAL: Final[Callable[[], int]] = lambda: 0  # noqa: E731

_HEADER_BYTES: Final = 10
_NO_SESSIONS: Final = 0x8001
_READ_BYTES: Final = 4096
_LOOK_SECONDS: Final = 0.05
_P256_CERTIFICATE: Final = 0x01C0000A
"""Where the certificate of the EK of template L-2 lies. swtpm_setup makes none; an SLB 9670 has one, and one of L-1."""


@dataclass(frozen=True, slots=True)
class Answered:
    """One command that the chip was sent."""

    code: int
    """TPM_CC: Part 2, 6.5.2."""
    seconds: float
    """How long the chip took."""
    refused: bool


class Chip:
    """Serves one program after another at `node`, which is there while the chip is `on`."""

    def __init__(self, tpm_tcti: str, node: Path, vendor: Vendor) -> None:
        self.node: Final = node
        self.tcti: Final = f"device:{node}"
        self.vendor: Final = vendor
        """Who has certified its EK of template L-2."""
        self.time: Callable[[bytes], float] = NO_TIME
        """How many seconds a command takes, such as `tests.harness.chip_times.seconds_of`."""
        self.refusal: Callable[[], int] = NO_REFUSAL
        """The response code for the next command, such as RETRY; 0 to carry it out."""
        self.lost_probes = 0
        """How many commands from now on meet EIO, as on a bus that is not ready."""
        self.commands: list[Answered] = []
        self._tpm = socket.socket(socket.AF_UNIX)
        self._tpm.connect(tpm_tcti.removeprefix("swtpm:path="))
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None

    def on(self) -> None:
        """Make the node, ready to be opened, and forget the commands of before."""
        self._ended.clear()
        self.commands.clear()
        bus = _Bus(self.node)
        self._thread = threading.Thread(target=self._serve, args=(bus,), name="chip")
        self._thread.start()

    def off(self) -> None:
        """Remove the node, and be a quick and willing chip again. May be called twice."""
        self.time, self.refusal, self.lost_probes = NO_TIME, NO_REFUSAL, 0
        self._ended.set()
        if self._thread is not None:
            self._thread.join()
            self._thread = None

    @contextmanager
    def unopenable(self) -> Iterator[None]:
        """Put a node there that cannot be opened (ENXIO), as before the driver has found its chip."""
        with closing(socket.socket(socket.AF_UNIX)) as nothing:
            nothing.bind(str(self.node))
            try:
                yield
            finally:
                self.node.unlink()

    def close(self) -> None:
        self.off()
        self._tpm.close()

    def seconds(self) -> float:
        """The time that the chip took for all commands."""
        return sum(command.seconds for command in self.commands)

    def _serve(self, bus: _Bus) -> None:
        while not self._ended.is_set():
            command = bus.command(self._ended)
            if command and self.lost_probes > 0:
                self.lost_probes -= 1
                lost, bus = bus, _Bus(self.node)
                lost.close()  # whoever reads gets EIO
            elif command:
                bus.answer(self._answer(command))
        self.node.unlink()
        bus.close()

    def _answer(self, command: bytes) -> bytes:
        begun = time.monotonic()
        code = int.from_bytes(command[6:10], "big")
        if refused := self.refusal():
            self.commands.append(Answered(code, 0.0, refused=True))
            return b"".join(number.to_bytes(size, "big") for number, size in ((_NO_SESSIONS, 2), (10, 4), (refused, 4)))
        wanted = self.time(command)
        self.commands.append(Answered(code, wanted, refused=False))
        self._tpm.sendall(command)
        answer = b""
        while len(answer) < _size(answer):
            answer += self._tpm.recv(_READ_BYTES)
        self._ended.wait(max(0.0, wanted - (time.monotonic() - begun)))
        return answer


class _Bus:
    """The chip's end of one pseudo terminal, whose other end `node` names."""

    def __init__(self, node: Path) -> None:
        self._chip, self._kept = os.openpty()  # kept open: a terminal that nobody has open loses its settings
        tty.setraw(self._kept)
        os.fchmod(self._kept, 0o660)  # as udev does
        os.set_blocking(self._chip, False)
        made = node.with_name(f"{node.name}.new")
        made.symlink_to(os.ttyname(self._kept))
        made.rename(node)

    def command(self, ended: threading.Event) -> bytes:
        """Return the next command, whole; nothing when the chip is switched off meanwhile."""
        data = b""
        while len(data) < _size(data):
            readable, _, _ = select.select([self._chip], [], [], _LOOK_SECONDS)
            if readable:
                data += os.read(self._chip, _size(data) - len(data))
            elif ended.is_set():
                return b""
        return data

    def answer(self, data: bytes) -> None:
        while data:
            select.select([], [self._chip], [])
            data = data[os.write(self._chip, data) :]

    def close(self) -> None:
        os.close(self._kept)
        os.close(self._chip)


def _size(begun: bytes) -> int:
    """The bytes of a command or an answer as far as is known from its beginning."""
    return int.from_bytes(begun[2:6], "big") if len(begun) >= _HEADER_BYTES else _HEADER_BYTES


@contextmanager
def chip(directory: Path) -> Iterator[Chip]:
    """Make a chip, off, with the EK certificates of an SLB 9670. `directory` is private, for it alone."""
    with Simulator(directory) as simulator:
        vendor = Vendor()
        write_nv(simulator.tcti, {_P256_CERTIFICATE: vendor.ek(_p256_ek(simulator.tcti))})
        made = Chip(simulator.tcti, directory / "tpmrm0", vendor)
        try:
            yield made
        finally:
            made.close()


def _p256_ek(tcti: str) -> EllipticCurvePublicKey:
    """The EK of the template that is shown where no other one has a certificate: L-2."""
    tpm = Tpm.open(tcti)
    try:
        tpm._ek_name, (_, tpm._ek_template) = "L-2", tpm._read_ek(templates.EK_TEMPLATES["L-2"])
        key = read_public(tpm.public_areas().ek).key()
    finally:
        tpm.close()
    assert isinstance(key, EllipticCurvePublicKey)
    return key
