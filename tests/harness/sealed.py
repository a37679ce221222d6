"""Encrypts any content as a backup, as anybody who knows the passphrase can."""

from __future__ import annotations

import io

from station.setup.backup.sealed_file import Sealer

PASSPHRASE = "correct horse battery"


def sealed(content: bytes) -> bytes:
    file = io.BytesIO()
    sealer = Sealer(file, PASSPHRASE, 1, "station", "test")
    sealer.write(content)
    sealer.finish()
    return file.getvalue()
