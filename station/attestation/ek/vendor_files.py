"""Reads the files of TPM vendors' certificates that `init` copies into a station: a directory's, or one file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from runtime.files import read_bounded
from shared.errors import BirthmarkError
from station.attestation.ek.bundle import FILE_BYTES_MAX
from station.attestation.ek.roots import FILES_MAX


def read_vendor_files(source: Path) -> Mapping[str, bytes]:
    """Return name and content of the file `source`, or of each file in the directory `source` that is not hidden.

    Raises `config.invalid` when a file cannot be read, or there are more or larger files than a station reads.
    """
    try:
        if source.is_dir():
            paths = sorted(path for path in source.iterdir() if path.is_file() and not path.name.startswith("."))
        else:
            paths = [source]
        if len(paths) > FILES_MAX:
            raise BirthmarkError("config.invalid", f"{source} holds {len(paths)} files, more than {FILES_MAX}")
        return {path.name: read_bounded(path, FILE_BYTES_MAX) for path in paths}
    except OSError as error:
        raise BirthmarkError("config.invalid", f"{error.filename or source}: {error.strerror}") from error
