"""Encrypts a backup under a passphrase, and decrypts it.

Format: one line of JSON that says what the file is and how it is encrypted, then chunks of `chunk` bytes, the last one
shorter, each followed by a tag of 16 bytes. The key is scrypt (RFC 7914) of passphrase and salt. A chunk is encrypted
with AES-256-GCM; its nonce is the chunk's number (11 bytes, big-endian) and a byte that is 1 for the last chunk; its
associated data is the SHA-256 of the first line. So every change, omission, move, addition or cut shows (STREAM: Hoang,
Reyhanitabar, Rogaway and Vizár, "Online Authenticated-Encryption and its Nonce-Reuse Misuse-Resistance", 2015).
"""

from __future__ import annotations

import hashlib
import os
from typing import BinaryIO, Final

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

from shared.errors import BirthmarkError, ErrorCode

FORMAT: Final = "birthmark-station-backup"
VERSION: Final = 1
CHUNK: Final = 64 * 1024
_LINE_BYTES: Final = 4096
_TAG_BYTES: Final = 16


class Derivation(msgspec.Struct, frozen=True, kw_only=True):
    """How scrypt derives the key. A reader accepts only these costs: 128 MiB, about half a second."""

    name: str = "scrypt"
    n: int = 1 << 17
    r: int = 8
    p: int = 1
    salt: str
    """16 bytes in hexadecimal."""


class Label(msgspec.Struct, frozen=True, kw_only=True):
    """The first line. Readable without the passphrase; authentic only after a chunk has been decrypted."""

    format: str = FORMAT
    version: int = VERSION
    made_at: int
    """Seconds since 1970."""
    station: str
    software: str
    key: Derivation
    cipher: str = "AES-256-GCM"
    chunk: int = CHUNK


class _Version(msgspec.Struct):
    format: str
    version: int


class Sealer:
    """Writes an encrypted file. Call `finish` after the last `write`."""

    def __init__(self, file: BinaryIO, passphrase: str, made_at: int, station: str, software: str) -> None:
        label = Label(made_at=made_at, station=station, software=software, key=Derivation(salt=os.urandom(16).hex()))
        line = msgspec.json.encode(label) + b"\n"
        self._file = file
        self._chunks = _ChunkCipher(line, label, passphrase)
        self._held = bytearray()
        file.write(line)

    def write(self, data: bytes) -> None:
        self._held += data
        while len(self._held) > CHUNK:  # holds a full chunk back, because it may be the last
            self._file.write(self._chunks.seal(bytes(self._held[:CHUNK]), last=False))
            del self._held[:CHUNK]

    def finish(self) -> None:
        self._file.write(self._chunks.seal(bytes(self._held), last=True))


class Opener:
    """Reads an encrypted file, a chunk at a time; `read` returns only authenticated bytes.

    Raises `backup.malformed`, `backup.too-new`, `backup.not-opened` for a wrong passphrase or a damaged first chunk
    (they look alike), and `backup.damaged` for a later chunk that was changed or cut off.
    """

    def __init__(self, file: BinaryIO, passphrase: str) -> None:
        line = file.readline(_LINE_BYTES)
        self.label: Final = _read_label(line)
        self._file = file
        self._chunks = _ChunkCipher(line, self.label, passphrase)
        self._sealed = file.read(CHUNK + _TAG_BYTES)
        self._held = b""
        self._ended = False
        self._next("backup.not-opened")

    def read(self, count: int) -> bytes:
        """Exactly `count` bytes. Raises `backup.malformed` when the file has fewer."""
        parts = []
        while count:
            if not self._held:
                if self._ended:
                    raise BirthmarkError("backup.malformed", "it ends too early")
                self._next("backup.damaged")
            part, self._held = self._held[:count], self._held[count:]
            count -= len(part)
            parts.append(part)
        return b"".join(parts)

    def end(self) -> None:
        """Check that the file ends here. Raises `backup.malformed` when it does not."""
        if self._held or not self._ended:
            raise BirthmarkError("backup.malformed", "something follows its last file")

    def _next(self, code: ErrorCode) -> None:
        following = self._file.read(CHUNK + _TAG_BYTES)
        try:
            self._held = self._chunks.open(self._sealed, last=not following)
        except InvalidTag:
            raise BirthmarkError(code) from None
        self._sealed, self._ended = following, not following


class _ChunkCipher:
    """One file's key and chunk counter."""

    def __init__(self, line: bytes, label: Label, passphrase: str) -> None:
        key = label.key
        scrypt = Scrypt(salt=bytes.fromhex(key.salt), length=32, n=key.n, r=key.r, p=key.p)
        self._aead = AESGCM(scrypt.derive(passphrase.encode(errors="surrogateescape")))
        self._associated = hashlib.sha256(line).digest()
        self._number = 0

    def seal(self, chunk: bytes, *, last: bool) -> bytes:
        return self._aead.encrypt(self._nonce(last), chunk, self._associated)

    def open(self, sealed: bytes, *, last: bool) -> bytes:
        if len(sealed) < _TAG_BYTES:
            raise InvalidTag
        return self._aead.decrypt(self._nonce(last), sealed, self._associated)

    def _nonce(self, last: bool) -> bytes:
        self._number += 1
        return self._number.to_bytes(11, "big") + bytes([last])


def _read_label(line: bytes) -> Label:
    try:
        kind = msgspec.json.decode(line, type=_Version)
        if kind.format == FORMAT and kind.version > VERSION:
            raise BirthmarkError("backup.too-new", f"its format is version {kind.version}, this program's {VERSION}")
        label = msgspec.json.decode(line, type=Label)
        salt = bytes.fromhex(label.key.salt)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        raise BirthmarkError("backup.malformed", "it does not say that it is one") from None
    usual = Label(
        made_at=label.made_at,
        station=label.station,
        software=label.software,
        key=Derivation(salt=label.key.salt),
    )
    if label != usual or len(salt) != 16 or not line.endswith(b"\n"):
        raise BirthmarkError("backup.malformed", "it is sealed in an unknown way")
    return label
