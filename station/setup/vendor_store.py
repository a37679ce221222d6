"""Writes TPM vendors' certificates into the station's directory, a file each."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from runtime.files import replace_private
from shared.errors import BirthmarkError
from station.attestation.ek.bundle import pem_text
from station.attestation.ek.roots import CERTIFICATES_MAX, DISTRUSTED, FILES_MAX, EkRoots
from station.attestation.ek.vendor_certificate import VendorCertificate

_NAME_CHARACTERS: Final = 80


def store(directory: Path, certificates: Iterable[VendorCertificate], roots: EkRoots) -> list[VendorCertificate]:
    """Write those that are not in `roots`, which was read from `directory`, and return them.

    A station that runs finds a whole file or none. Raises `data.unwritable`, and `config.invalid` before it writes more
    than a station reads.
    """
    there = {certificate.der for found in roots.files.values() for certificate in found}
    new = [certificate for der, certificate in {c.der: c for c in certificates}.items() if der not in there]
    if new and (len(roots.files) + len(new) > FILES_MAX or len(there) + len(new) > CERTIFICATES_MAX):
        raise BirthmarkError("config.invalid", f"{directory} would hold more than {CERTIFICATES_MAX} certificates")
    for certificate in new:
        _write(directory / file_name(certificate), certificate)
    return new


def distrust(directory: Path, certificate: VendorCertificate) -> Path:
    """Write down that the certificate's key does not count, wherever it comes from. Raises `data.unwritable`."""
    path = directory / f"{file_name(certificate)}{DISTRUSTED}"
    _write(path, certificate)
    return path


def file_name(certificate: VendorCertificate) -> str:
    """Return a name that people recognize, and that no other certificate has."""
    words = re.sub(r"[^a-z0-9]+", "-", certificate.common_name.casefold())[:_NAME_CHARACTERS].strip("-")
    return f"{words or 'tpm-vendor'}-{certificate.sha256[:8]}.pem"


def _write(path: Path, certificate: VendorCertificate) -> None:
    try:
        if os.path.lexists(path) and path.is_dir():
            raise BirthmarkError("data.unwritable", f"{path} is a directory")
        replace_private(path, pem_text(certificate.der))
    except OSError as error:
        raise BirthmarkError("data.unwritable", f"{path}: {error.strerror}") from error
