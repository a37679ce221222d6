"""Frames on a byte stream: COBS with a CRC-32, between zero bytes.

A frame on the wire is `00 | COBS(payload | CRC-32 of payload, big-endian) | 00`. Zero bytes occur nowhere else, so
the decoder skips anything between frames (a login prompt, AT commands, half a frame) up to the next zero byte.
COBS: Cheshire and Baker, "Consistent Overhead Byte Stuffing". CRC-32: ISO-HDLC, as in zlib.
"""

from __future__ import annotations

import zlib
from typing import Final

from cobs import cobs

from shared import limits
from shared.errors import BirthmarkError

DELIMITER: Final = b"\0"
_CRC_BYTES: Final = 4
_ENCODED_BYTES: Final = limits.FRAME_BYTES + _CRC_BYTES + (limits.FRAME_BYTES + _CRC_BYTES) // 254 + 1


def encode_frame(payload: bytes) -> bytes:
    """Return the bytes that carry `payload`. Raises `link.frame-too-large` above `limits.FRAME_BYTES`."""
    if len(payload) > limits.FRAME_BYTES:
        raise BirthmarkError("link.frame-too-large", f"{len(payload)} bytes")
    body: bytes = cobs.encode(payload + zlib.crc32(payload).to_bytes(_CRC_BYTES, "big"))
    return DELIMITER + body + DELIMITER


class FrameDecoder:
    """Finds frames in a stream that arrives in pieces of any size.

    It never raises and never holds more than one encoded frame. `noise_bytes` counts skipped bytes, and `oversized`
    counts stretches longer than a frame can be; the caller judges both.
    """

    def __init__(self) -> None:
        self._held = bytearray()
        self._overflowing = False
        self.noise_bytes = 0
        self.oversized = 0

    def receive(self, data: bytes) -> list[bytes]:
        """Return the payloads that `data` completes, in order."""
        payloads = []
        *complete, rest = data.split(DELIMITER)
        for piece in complete:
            self._hold(piece)
            if (payload := self._finish()) is not None:
                payloads.append(payload)
        self._hold(rest)
        return payloads

    def _hold(self, piece: bytes) -> None:
        if self._overflowing:
            self.noise_bytes += len(piece)
        elif len(self._held) + len(piece) > _ENCODED_BYTES:
            self.noise_bytes += len(self._held) + len(piece)
            self.oversized += 1
            self._held.clear()
            self._overflowing = True
        else:
            self._held += piece

    def _finish(self) -> bytes | None:
        encoded = bytes(self._held)
        self._held.clear()
        if self._overflowing:
            self._overflowing = False
            return None
        if not encoded:
            return None
        payload = _decode_frame(encoded)
        if payload is None:
            self.noise_bytes += len(encoded)
        return payload


def _decode_frame(encoded: bytes) -> bytes | None:
    try:
        body: bytes = cobs.decode(encoded)
    except cobs.DecodeError:
        return None
    if len(body) < _CRC_BYTES:
        return None
    payload, crc = body[:-_CRC_BYTES], body[-_CRC_BYTES:]
    return payload if zlib.crc32(payload).to_bytes(_CRC_BYTES, "big") == crc else None
