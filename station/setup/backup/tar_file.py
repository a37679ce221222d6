"""Writes and reads the tar file in a backup: regular files only, which any `tar` unpacks.

The reader takes one header after another with `TarInfo.frombuf`, and none of the extensions that tar has for long
names, links and sparse files. So it holds one header at most, whatever the file says.
"""

from __future__ import annotations

import tarfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from tarfile import BLOCKSIZE, TarInfo
from typing import BinaryIO, Final

from shared.errors import BirthmarkError

CHUNK: Final = 64 * 1024


@dataclass(frozen=True, slots=True)
class Member:
    """A file in the tar file."""

    name: str
    size: int
    content: Iterable[bytes]
    """Its octets in chunks, to be taken once."""


def pack(members: Iterable[Member], modified_at: int) -> Iterator[bytes]:
    """Yield a tar file. Names have at most 100 characters."""
    for member in members:
        header = TarInfo(member.name)
        header.size, header.mode, header.mtime = member.size, 0o600, modified_at
        yield header.tobuf(tarfile.GNU_FORMAT)
        yield from member.content
        yield bytes(-member.size % BLOCKSIZE)
    yield bytes(2 * BLOCKSIZE)


def unpack(file: BinaryIO) -> Iterator[Member]:
    """Yield each file. All of its content must be taken before the next. Raises `backup.malformed`, content too.

    A member is a regular file; its name and its size are the caller's to check.
    """
    while (block := file.read(BLOCKSIZE)) != bytes(BLOCKSIZE):
        try:
            header = TarInfo.frombuf(block, "ascii", "strict")
        except (tarfile.HeaderError, UnicodeDecodeError):
            raise BirthmarkError("backup.malformed", "an entry cannot be read, or is cut off") from None
        if header.type not in (tarfile.REGTYPE, tarfile.AREGTYPE) or header.size < 0:
            raise BirthmarkError("backup.malformed", "an entry is not a regular file")
        yield Member(header.name, header.size, _content(file, header.size))
        file.read(-header.size % BLOCKSIZE)
    while block := file.read(CHUNK):
        if block.count(0) != len(block):
            raise BirthmarkError("backup.malformed", "something follows its last file")


def _content(file: BinaryIO, size: int) -> Iterator[bytes]:
    while size:
        chunk = file.read(min(CHUNK, size))
        if not chunk:
            raise BirthmarkError("backup.malformed", "it ends too early")
        size -= len(chunk)
        yield chunk
