"""Makes any content a backup's, as anybody who knows its public key can."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterable
from typing import Final

import msgspec
from pyrage import x25519

from station.setup.backup.age_file import Identities, Recipients, encrypt

IDENTITY_TEXT: Final = str(x25519.Identity.generate())
IDENTITIES: Final = Identities.parse(IDENTITY_TEXT.encode())
RECIPIENT: Final = str(x25519.Identity.from_str(IDENTITY_TEXT).to_public())
RECIPIENTS: Final = Recipients.parse([RECIPIENT])

LABEL: Final = msgspec.json.encode(
    {"format": "birthmark-station-backup", "version": 1, "made_at": 1, "station": "station", "software": "test"}
)


def encrypted(content: bytes) -> bytes:
    file = io.BytesIO()
    encrypt([content], file, RECIPIENTS)
    return file.getvalue()


def entry(name: str, content: bytes = b"", **fields: object) -> bytes:
    """An entry of a tar file, with any value in its header's fields."""
    header = tarfile.TarInfo(name)
    header.size = len(content)
    for field, value in fields.items():
        setattr(header, field, value)
    return header.tobuf(tarfile.GNU_FORMAT) + content + bytes(-len(content) % tarfile.BLOCKSIZE)


def tar(entries: Iterable[bytes] = (), *, label: bytes = LABEL) -> bytes:
    return b"".join((entry("backup.json", label), *entries)) + bytes(2 * tarfile.BLOCKSIZE)
