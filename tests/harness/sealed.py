"""Content under a backup's encryption, whatever it is: what whoever knows the passphrase can write."""

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
