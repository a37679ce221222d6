"""Listens on a TPM's bus: a proxy before swtpm's sockets that records every byte, as probes on a hat's SPI pins do."""

from __future__ import annotations

import contextlib
import selectors
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

_CONTROL: Final = ".ctrl"  # where the TCTI looks for swtpm's control channel
_READ_BYTES: Final = 1 << 16


class TpmBus:
    """The recording of all commands and answers. It changes nothing."""

    def __init__(self, tcti: str) -> None:
        self.tcti: Final = tcti
        """The TPM behind the recorder."""
        self.commands = b""
        self.answers = b""

    def holds(self, secret: bytes) -> bool:
        return secret in self.commands or secret in self.answers


@contextmanager
def recorded_bus(tpm_tcti: str, directory: Path) -> Iterator[TpmBus]:
    """Record what crosses between the programs that use the yielded `tcti` and the swtpm of `tpm_tcti`.

    `directory` has a short path, for sockets.
    """
    tpm = tpm_tcti.removeprefix("swtpm:path=")
    path = directory / "bus"
    bus = TpmBus(f"swtpm:path={path}")
    ended = threading.Event()
    threads = [
        threading.Thread(target=_forward, args=(_listen(f"{path}{suffix}"), f"{tpm}{suffix}", bus, ended))
        for suffix in ("", _CONTROL)
    ]
    for thread in threads:
        thread.start()
    try:
        yield bus
    finally:
        ended.set()
        for thread in threads:
            thread.join()


def _listen(path: str) -> socket.socket:
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(path)
    listener.listen()
    listener.settimeout(0.1)
    return listener


def _forward(listener: socket.socket, target: str, bus: TpmBus, ended: threading.Event) -> None:
    """Serve one program after another, as swtpm does."""
    with listener:
        while not ended.is_set():
            try:
                program, _ = listener.accept()
            except TimeoutError:
                continue
            with program, socket.socket(socket.AF_UNIX) as tpm:
                tpm.connect(target)
                _join(program, tpm, bus, ended)


def _join(program: socket.socket, tpm: socket.socket, bus: TpmBus, ended: threading.Event) -> None:
    with selectors.DefaultSelector() as selector:
        selector.register(program, selectors.EVENT_READ)
        selector.register(tpm, selectors.EVENT_READ)
        while not ended.is_set():
            for key, _ in selector.select(0.1):
                data = b""
                with contextlib.suppress(ConnectionResetError):
                    data = key.fileobj.recv(_READ_BYTES)  # type: ignore[union-attr]
                if not data:
                    return
                if key.fileobj is program:
                    bus.commands += data
                    tpm.sendall(data)
                else:
                    bus.answers += data
                    program.sendall(data)
