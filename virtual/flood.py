"""Devices that send garbage of every kind: two hundred of them on as many terminals, run by one thread."""

from __future__ import annotations

import os
import random
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from shared.protocol.framing import FrameDecoder, encode_frame
from shared.protocol.messages import Done, Hello, Identity, Refusal, decode, encode
from shared.protocol.session import Session
from shared.protocol.states import Role

_PAUSE_SECONDS: Final = 0.01
_CHUNK_BYTES: Final = 4096


class Device:
    """The device on one terminal. `nextly` returns what it sends next, `heard` is what the station sent."""

    def __init__(self, path: Path, nextly: Callable[[Device], bytes]) -> None:
        self._nextly = nextly
        self.master, self._terminal = os.openpty()
        os.set_blocking(self.master, False)
        self.heard = b""
        self.waiting = b""
        self.random = random.Random(str(path))  # noqa: S311 - garbage that can be repeated
        self.sent = 0
        path.symlink_to(os.ttyname(self._terminal))

    def turn(self) -> None:
        """Read what the station sent, and write as much as the terminal accepts."""
        try:
            self.heard = os.read(self.master, 1 << 16)
        except BlockingIOError:
            self.heard = b""
        self.waiting = self.waiting or self._nextly(self)
        try:
            written = os.write(self.master, self.waiting[:_CHUNK_BYTES])
        except BlockingIOError:
            return
        self.sent += written
        self.waiting = self.waiting[written:]

    def close(self) -> None:
        os.close(self.master)
        os.close(self._terminal)


def noise(device: Device) -> bytes:
    return device.random.randbytes(_CHUNK_BYTES)


def endless_frame(_device: Device) -> bytes:
    return b"\x55" * _CHUNK_BYTES


def delimiters(_device: Device) -> bytes:
    return bytes(_CHUNK_BYTES)


def frames_of_nonsense(device: Device) -> bytes:
    return encode_frame(device.random.randbytes(64)) * 32


def small_messages(_device: Device) -> bytes:
    return encode_frame(encode(Done())) * 128


def refusals(_device: Device) -> bytes:
    return encode_frame(encode(Refusal(code="session.internal"))) * 64


def hellos(device: Device) -> bytes:
    hello = Hello(
        versions=(1,),
        nonce=device.random.randbytes(32),
        station="false",
        chain=(b"x" * 1024,),
        time=0,
        revoked_stations=b"",
    )
    return encode_frame(encode(hello)) * 4


def identity_of(device: Device, transcript: bytes) -> bytes:
    public = device.random.randbytes(100)
    return encode_frame(
        encode(
            Identity(
                version=1,
                hello=transcript,
                nonce=device.random.randbytes(32),
                agent="flood",
                model="flood",
                serial=f"f{device.random.randrange(10**9)}",
                ek_certificate=device.random.randbytes(8192),
                ek_public=public,
                ak_public=public,
                srk_public=public,
                device_public=public,
            )
        )
    )


def stale_identities(device: Device) -> bytes:
    return identity_of(device, bytes(32))


def trickle(device: Device) -> bytes:
    return device.random.randbytes(1) if device.random.random() < _PAUSE_SECONDS else b""


def answering() -> Callable[[Device], bytes]:
    """Answer every Hello correctly, with keys that are nonsense: every session fails only at the attestation."""
    decoder = FrameDecoder()

    def nextly(device: Device) -> bytes:
        for payload in decoder.receive(device.heard):
            if isinstance(decode(payload), Hello):
                session = Session(Role.AGENT)
                list(session.receive(encode_frame(payload)))
                return identity_of(device, session.transcript())
        return b""

    return nextly


KINDS: Final[tuple[Callable[[], Callable[[Device], bytes]], ...]] = (
    lambda: noise,
    lambda: endless_frame,
    lambda: delimiters,
    lambda: frames_of_nonsense,
    lambda: small_messages,
    lambda: refusals,
    lambda: hellos,
    lambda: stale_identities,
    lambda: trickle,
    answering,
)


class Flood:
    """`count` devices, equally many of each kind, on the ports `directory`/flood-N."""

    def __init__(self, directory: Path, count: int) -> None:
        self._directory = directory
        self._count = count
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="flood", daemon=True)
        self.devices: list[Device] = []

    def __enter__(self) -> Flood:
        for number in range(self._count):
            kind = KINDS[number % len(KINDS)]()
            self.devices.append(Device(self._directory / f"flood-{number}", kind))
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        for device in self.devices:
            device.close()

    def _run(self) -> None:
        while not self._stop.is_set():
            for device in self.devices:
                device.turn()
            time.sleep(_PAUSE_SECONDS)
