"""Generates values of the OpenAPI document's own formats for schemathesis, which runs in its own process."""

from __future__ import annotations

from typing import Any

import schemathesis
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from hypothesis import strategies as st


def certificate_request(number: int) -> str:
    """Make a CSR in PEM, for one of a hundred keys that are the same in every run."""
    key = ec.derive_private_key(1000 + number, ec.SECP256R1())
    request = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([])).sign(key, hashes.SHA256())
    return request.public_bytes(Encoding.PEM).decode()


schemathesis.openapi.format("pkcs10", st.integers(0, 99).map(certificate_request))
schemathesis.openapi.format("printable", st.from_regex(r"[A-Z][a-z]{2,9}( カメラ| [0-9]{1,4})?", fullmatch=True))


@schemathesis.hook
def map_body(_context: object, body: object) -> object:
    """Write integers without a fraction: 5.0 is an integer for JSON Schema, but not for the station."""
    return _whole(body)


def _whole(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _whole(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_whole(item) for item in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value
