"""Encrypts and decrypts age files (https://age-encryption.org/v1), which the program `age` opens as well.

For recipients, that is for public keys, memory stays constant. For a passphrase the whole file is held in memory,
because pyrage has no other way, so its size is bounded.
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, BinaryIO, Final, TypeAlias

import pyrage
from pyrage import passphrase as scrypt
from pyrage import ssh, x25519

from shared.errors import BirthmarkError

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

PASSPHRASE_BYTES_MAX: Final = 512 * 1024 * 1024
"""The largest content under a passphrase. Memory takes three times as much."""

RECIPIENTS_MAX: Final = 20
IDENTITY_BYTES_MAX: Final = 64 * 1024
"""The largest file of identities that is read."""

_CHUNK: Final = 64 * 1024
_MAGIC: Final = b"age-encryption.org/v1\n"
_HEADER_BYTES_MAX: Final = 64 * 1024
"""More than the header for `RECIPIENTS_MAX` RSA keys takes."""

_WORK_FACTOR_MAX: Final = 21
"""The largest binary logarithm of scrypt's cost that is tried: 2 GiB of memory. pyrage makes what takes a second or
two, at most 20 today."""

_WORK_FACTOR_WANTED: Final = 17
_TRIES: Final = 3
"""pyrage measures for two milliseconds what the machine can do. A pause then makes a fast machine look slow: it chooses
too small a factor, or refuses one that would take 16 seconds on such a machine. So it is asked again."""

_Recipient: TypeAlias = x25519.Recipient | ssh.Recipient
_Identity: TypeAlias = x25519.Identity | ssh.Identity


@dataclass(frozen=True, slots=True)
class Passphrase:
    """Encrypts and decrypts. Raises `config.invalid` for what a terminal that is not UTF-8 made of it."""

    text: str = field(repr=False)

    def __post_init__(self) -> None:
        try:
            self.text.encode()
        except UnicodeEncodeError:
            raise BirthmarkError("config.invalid", "a backup's passphrase is UTF-8") from None


@dataclass(frozen=True, slots=True)
class Recipients:
    """Public keys: they encrypt. Any one of their identities decrypts."""

    keys: Sequence[_Recipient]

    @classmethod
    def parse(cls, texts: Sequence[str]) -> Recipients:
        """Read `age1…`, `ssh-ed25519 …` and `ssh-rsa …`. Raises `backup.recipient-unusable`."""
        if not 0 < len(texts) <= RECIPIENTS_MAX:
            raise BirthmarkError("backup.recipient-unusable", f"a backup is for 1 to {RECIPIENTS_MAX} recipients")
        return cls(tuple(_recipient(number, text.strip()) for number, text in enumerate(texts, 1)))


@dataclass(frozen=True, slots=True)
class Identities:
    """Private keys: they decrypt."""

    keys: Sequence[_Identity] = field(repr=False)

    @classmethod
    def parse(cls, content: bytes) -> Identities:
        """Read what `age-keygen` writes, or an SSH private key. Raises `backup.identity-unusable`."""
        if content.lstrip().startswith(b"-----BEGIN"):
            try:
                return cls((ssh.Identity.from_buffer(content),))
            except pyrage.IdentityError:
                why = "it is no SSH key of type Ed25519 or RSA, or is itself encrypted"
                raise BirthmarkError("backup.identity-unusable", why) from None
        try:
            lines = (line.strip() for line in content.decode("ascii").splitlines())
            keys = tuple(x25519.Identity.from_str(line) for line in lines if line and not line.startswith("#"))
        except (pyrage.IdentityError, UnicodeDecodeError):
            raise BirthmarkError("backup.identity-unusable", "a line is no AGE-SECRET-KEY-1…") from None
        if not keys:
            raise BirthmarkError("backup.identity-unusable", "it is empty")
        return cls(keys)


def encrypt(content: Iterable[bytes], target: BinaryIO, lock: Passphrase | Recipients) -> None:
    """Write `content` to `target` as an age file. Raises `backup.too-large`, and what `content` and `target` raise."""
    if isinstance(lock, Passphrase):
        target.write(_closed(_joined(content, PASSPHRASE_BYTES_MAX), lock))
        return
    source, sink = _Source(iter(content)), _Sink(target)
    try:
        pyrage.encrypt_io(source, sink, lock.keys)
    except (pyrage.EncryptError, OSError):
        raise source.error or sink.error or RuntimeError("age cannot encrypt") from None
    sink.check()


def decrypt(source: BinaryIO, target: BinaryIO, key: Passphrase | Identities, progress: Callable[[int], None]) -> None:
    """Write the content of the age file `source` to `target`. Calls `progress` with the octets read.

    When it raises, `target` may hold a part. Raises `backup.malformed`, `backup.too-large`, `backup.not-opened`,
    `backup.damaged`, and what `source` and `target` raise.
    """
    _check_header(source.read(_HEADER_BYTES_MAX), key)
    source.seek(0)
    chunks = _chunks(source, progress)
    if isinstance(key, Passphrase):
        target.write(_opened(_joined(chunks, _encrypted_bytes(PASSPHRASE_BYTES_MAX)), key))
        return
    octets, sink = _Source(chunks), _Sink(target)
    try:
        pyrage.decrypt_io(octets, sink, key.keys)
    except (pyrage.DecryptError, OSError) as error:
        if raised := octets.error or sink.error:
            raise raised from None
        if isinstance(error, pyrage.DecryptError):
            raise BirthmarkError("backup.not-opened", str(error)) from None
        raise BirthmarkError("backup.damaged") from None
    sink.check()


def _encrypted_bytes(size: int) -> int:
    """Return the most that `size` bytes take under a passphrase: a short header, a nonce, a tag for each chunk."""
    return 256 + 16 + size + 16 * (size // _CHUNK + 1)


def _recipient(number: int, text: str) -> _Recipient:
    try:
        return ssh.Recipient.from_str(text) if text.startswith("ssh-") else x25519.Recipient.from_str(text)
    except pyrage.RecipientError:  # the text is not shown: it may be a private key
        raise BirthmarkError("backup.recipient-unusable", f"recipient {number}") from None


def _chunks(source: BinaryIO, progress: Callable[[int], None]) -> Iterator[bytes]:
    done = 0
    while chunk := source.read(_CHUNK):
        done += len(chunk)
        progress(done)
        yield chunk


def _closed(content: bytes, lock: Passphrase) -> bytes:
    for _ in range(_TRIES):
        closed = scrypt.encrypt(content, lock.text)
        if _work_factor(closed[:_HEADER_BYTES_MAX]) >= _WORK_FACTOR_WANTED:
            break
    return closed  # a slow machine's second is worth less


def _opened(content: bytes, key: Passphrase) -> bytes:
    tries = _TRIES
    while True:
        try:
            return scrypt.decrypt(content, key.text)
        except pyrage.DecryptError as error:
            tries -= 1
            if not tries or not str(error).startswith("Excessive work"):
                raise BirthmarkError("backup.not-opened", " ".join(str(error).split())) from None


def _joined(chunks: Iterable[bytes], most: int) -> bytes:
    whole = io.BytesIO()
    for chunk in chunks:
        if whole.tell() + len(chunk) > most:
            raise BirthmarkError("backup.too-large", f"it has more than {most} bytes")
        whole.write(chunk)
    return whole.getvalue()


def _check_header(start: bytes, key: Passphrase | Identities) -> None:
    """Bound the work that the header asks for, before it is done. pyrage checks everything else."""
    factor = _work_factor(start)
    if factor > _WORK_FACTOR_MAX:
        raise BirthmarkError("backup.malformed", "to try a passphrase would take too much memory")
    if factor and isinstance(key, Identities):
        raise BirthmarkError("backup.not-opened", "it was made with a passphrase")
    if not factor and isinstance(key, Passphrase):
        raise BirthmarkError("backup.not-opened", "it was made for recipients: the identity of one opens it")


def _work_factor(start: bytes) -> int:
    """Return the binary logarithm of what a passphrase costs, 0 if the file is for recipients."""
    header, end, _ = start.partition(b"\n--- ")
    if not start.startswith(_MAGIC) or not end:
        raise BirthmarkError("backup.malformed", "it is no binary age file, or has too long a header")
    stanzas = [line.split(b" ")[1:] for line in header.split(b"\n") if line.startswith(b"-> ")]
    if not any(stanza[0] == b"scrypt" for stanza in stanzas):
        return 0
    if len(stanzas) > 1 or len(stanzas[0]) != 3 or not re.fullmatch(rb"[1-9][0-9]?", stanzas[0][2]):
        raise BirthmarkError("backup.malformed", "its header is not that of a passphrase")
    return int(stanzas[0][2])


class _Source(io.BufferedIOBase):
    """Chunks as a file that pyrage reads. Keeps what they raise, which pyrage makes an error of its own."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self.error: BaseException | None = None
        self._chunks = chunks
        self._held = memoryview(b"")

    def read(self, size: int | None = -1, /) -> bytes:
        """Up to `size` bytes, which pyrage always names."""
        try:
            while not self._held and (chunk := next(self._chunks, None)) is not None:
                self._held = memoryview(chunk)
        except BaseException as error:
            self.error = error
            raise
        part, self._held = self._held[:size], self._held[size:]
        return bytes(part)


class _Sink(io.BufferedIOBase):
    """A file that pyrage writes to. Keeps what it raises, which pyrage ignores in its last write."""

    def __init__(self, target: BinaryIO) -> None:
        self.error: BaseException | None = None
        self._target = target

    def write(self, data: ReadableBuffer, /) -> int:
        try:
            return self._target.write(data)
        except BaseException as error:
            self.error = error
            raise

    def check(self) -> None:
        if self.error:
            raise self.error
