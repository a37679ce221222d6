"""OpenSSL's judgement of what this station makes: the other implementation in our certificate tests."""

from __future__ import annotations

import subprocess
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from virtual.timeouts import TIMEOUT_SECONDS


def pem(path: Path, *certificates: x509.Certificate | bytes) -> Path:
    """Write certificates, given as such or as DER, one after another."""
    parsed = [c if isinstance(c, x509.Certificate) else x509.load_der_x509_certificate(c) for c in certificates]
    path.write_bytes(b"".join(certificate.public_bytes(Encoding.PEM) for certificate in parsed))
    return path


def run(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Call openssl; its return code and output are the answer."""
    return subprocess.run(
        ["openssl", *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=TIMEOUT_SECONDS,
        check=False,
        stdin=subprocess.DEVNULL,
    )


def verify(folder: Path, chain: tuple[bytes, ...], *options: str | Path) -> subprocess.CompletedProcess[str]:
    """Verify a chain (DER: device, intermediate, root) strictly, at the time of the tests' clock."""
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
