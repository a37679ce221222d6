"""Calls OpenSSL, the independent implementation that checks the station's certificates."""

from __future__ import annotations

import subprocess
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from virtual.timeouts import TIMEOUT_SECONDS


def pem(path: Path, *certificates: x509.Certificate | bytes) -> Path:
    """Write certificates, given as objects or DER, to one PEM file; return its path."""
    parsed = [c if isinstance(c, x509.Certificate) else x509.load_der_x509_certificate(c) for c in certificates]
    path.write_bytes(b"".join(certificate.public_bytes(Encoding.PEM) for certificate in parsed))
    return path


def run(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Call openssl; return its exit code and output."""
    return subprocess.run(
        ["openssl", *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=TIMEOUT_SECONDS,
        check=False,
        stdin=subprocess.DEVNULL,
    )


def verify(folder: Path, chain: tuple[bytes, ...], *options: str | Path) -> subprocess.CompletedProcess[str]:
    """Verify a chain (DER: device, intermediate, root) strictly; `options` may set the time."""
    leaf, intermediate, root = chain
    return run(
        "verify",
        "-x509_strict",
        "-check_ss_sig",
        *options,
        "-CAfile",
        pem(folder / "root-only.pem", root),
        "-untrusted",
        pem(folder / "intermediate-only.pem", intermediate),
        pem(folder / "leaf.pem", leaf),
    )
