"""Reads the files of TPM vendors' certificates that an operator gives: a directory's, or one file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from runtime.files import read_bounded
from shared.errors import BirthmarkError
from shared.text import printable
from station.attestation.ek.bundle import FILE_BYTES_MAX, read_bundle
from station.attestation.ek.roots import FILES_MAX
from station.attestation.ek.vendor_certificate import VendorCertificate


@dataclass(frozen=True, slots=True)
class VendorFiles:
    """The certificates in some files that may issue others, and what was left out."""

    certificates: tuple[VendorCertificate, ...]
    left_out: tuple[str, ...]


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


def read_vendor_certificates(source: Path) -> VendorFiles:
    """Read each certificate in the files of `source`. Raises `config.invalid` as `read_vendor_files` does."""
    certificates: list[VendorCertificate] = []
    left_out: list[str] = []
    for name, content in read_vendor_files(source).items():
        bundle = read_bundle(content)
        left_out += [f"{printable(name)}: {why}" for why in bundle.left_out]
        for certificate in bundle.certificates:
            if why := certificate.why_no_issuer():
                left_out.append(f"{printable(name)}: {printable(certificate.subject)} is not used: {why}")
            else:
                certificates.append(certificate)
    return VendorFiles(tuple(certificates), tuple(left_out))
