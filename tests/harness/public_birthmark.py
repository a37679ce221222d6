"""The rest of Birthmark as its interface describes it, with nothing of ours: its aggregator's client, and its camera.

Only what Birthmark's public messages say is here, so that tests speak the other side; none of this is its code.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import http.client
import json
import os
import random
import time
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.serialization import Encoding

from virtual.timeouts import TIMEOUT_SECONDS

Json = dict[str, Any]

FIELDS = (
    "device_serial",
    "device_family",
    "device_certificate",
    "certificate_chain",
    "device_private_key",
    "device_public_key",
    "table_assignments",
    "nuc_hash",
    "master_keys",
)
"""What the camera's loader requires of `provisioning.json`."""


@dataclass
class Answer:
    status: int
    headers: http.client.HTTPMessage
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


def request(method: str, url: str, body: object = None, token: str = "", accept: str = "*/*") -> Answer:
    """Send one request over its own connection, as the aggregator, `requests` and curl do."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=TIMEOUT_SECONDS)
    headers = {"Accept": accept, "User-Agent": "python-httpx/0.27.0"}
    if body is not None:
        headers["Content-Type"] = "application/json"
    if token:
        headers["Authorization"] = f"Bearer {token}"
    try:
        path = parts.path + (f"?{parts.query}" if parts.query else "")
        connection.request(method, path or "/", None if body is None else json.dumps(body).encode(), headers)
        answer = connection.getresponse()
        return Answer(answer.status, answer.headers, answer.read())
    finally:
        connection.close()


@dataclass
class Aggregator:
    """The aggregator's client of an authority: every function posts to the one `SMA_VALIDATION_ENDPOINT`."""

    endpoint: str
    faults: list[str] = field(default_factory=list)
    """What it logs as a fault of the authority: any status but 2xx, and any body without `valid`."""

    def validate_camera_token(self, token: Json, authority_id: str = "CANON_001") -> bool:
        """From `/api/v1/submit`."""
        return self._post(self.endpoint, {"camera_token": token, "manufacturer_authority_id": authority_id})

    def validate_legacy(self, submission: Json) -> bool:
        """From `/api/v1/submit-legacy`: the token's text is taken as bytes, so base64 goes out as hex of base64."""
        body: Json = {name: submission[name] for name in ("table_references", "key_indices")}
        body["ciphertext"] = submission["encrypted_nuc_token"].encode().hex()
        for name in ("modification_level", "parent_image_hash", "isp_validation"):
            if name in submission:
                body[name] = submission[name]
        return self._post(self.endpoint, body)

    def validate_bundle(self, submission: Json) -> bool:
        """From `/api/v1/submit-cert`: the address is made of the other one; the owner's hash goes out as `gps_hash`."""
        body = {name: submission[name] for name in ("camera_cert", "image_hash", "timestamp", "bundle_signature")}
        body["gps_hash"] = submission.get("owner_hash")
        return self._post(self.endpoint.replace("/validate", "/validate-cert"), body)

    def _post(self, url: str, body: object) -> bool:
        answer = request("POST", url, body)
        if not 200 <= answer.status < 300:
            self.faults.append(f"SMA HTTP error: {answer.status}")
            return False
        told = answer.json()
        if not isinstance(told.get("valid"), bool) or not isinstance(told.get("message"), str | None):
            self.faults.append(f"SMA answer: {told}")
        return bool(told.get("valid", False))


def derived_key(master_key: bytes, index: int) -> bytes:
    """HKDF-SHA256 by RFC 5869, spelled out: no salt, info = index and `Birthmark`, 32 bytes."""
    extracted = hmac.digest(bytes(32), master_key, hashlib.sha256)
    return hmac.digest(extracted, index.to_bytes(4, "big") + b"Birthmark" + b"\x01", hashlib.sha256)


class Camera:
    """Birthmark's camera program, which knows what is in its `provisioning.json`."""

    def __init__(self, provisioning: Json) -> None:
        """Load the file as the camera does: it refuses one that lacks a field or an assigned table's key."""
        missing = [name for name in FIELDS if name not in provisioning]
        if missing:
            raise ValueError(f"missing: {missing}")
        self.serial: str = provisioning["device_serial"]
        self.tables: list[int] = provisioning["table_assignments"]
        self.master_keys = {int(table): bytes.fromhex(key) for table, key in provisioning["master_keys"].items()}
        self.nuc_hash = bytes.fromhex(provisioning["nuc_hash"])
        if len(self.tables) != 3 or not set(self.tables) <= self.master_keys.keys() or len(self.nuc_hash) != 32:
            raise ValueError("the file is not whole")
        self.certificate = x509.load_pem_x509_certificate(provisioning["device_certificate"].encode())
        x509.load_pem_x509_certificates(provisioning["certificate_chain"].encode())
        key = serialization.load_pem_private_key(provisioning["device_private_key"].encode(), None)
        public = serialization.load_pem_public_key(provisioning["device_public_key"].encode())
        if not isinstance(key, ec.EllipticCurvePrivateKey) or key.public_key() != public:
            raise ValueError("the keys do not fit")
        if self.certificate.public_key() != public:
            raise ValueError("the certificate is another key's")
        self.key = key

    def token(self, table: int | None = None, index: int | None = None) -> Json:
        """A structured token for one photo."""
        table = random.choice(self.tables) if table is None else table
        index = random.randrange(1000) if index is None else index
        nonce = os.urandom(12)
        sealed = AESGCM(derived_key(self.master_keys[table], index)).encrypt(nonce, self.nuc_hash, None)
        return {
            "ciphertext": sealed[:32].hex(),
            "auth_tag": sealed[32:].hex(),
            "nonce": nonce.hex(),
            "table_id": table,
            "key_index": index,
        }

    def legacy_submission(self, which: int | None = None) -> Json:
        """What it posts to `/submit-legacy`: one of its three pairs made the token, the `which`-th."""
        which = random.randrange(3) if which is None else which
        indices = [random.randrange(1000) for _ in range(3)]
        token = self.token(self.tables[which], indices[which])
        packed = bytes.fromhex(token["ciphertext"] + token["nonce"] + token["auth_tag"])
        return {
            "image_hash": os.urandom(32).hex(),
            "encrypted_nuc_token": base64.b64encode(packed).decode(),
            "table_references": list(self.tables),
            "key_indices": indices,
            "timestamp": int(time.time()),
            "modification_level": 0,
            "parent_image_hash": None,
            "isp_validation": {"variance": 0.01},
        }

    def bundle(self, owner_hash: str | None = None) -> Json:
        """What it posts to `/submit-cert`: base64 of the DER, signed over image hash and timestamp."""
        image_hash, timestamp = os.urandom(32).hex(), int(time.time())
        return {
            "image_hash": image_hash,
            "camera_cert": base64.b64encode(self.certificate.public_bytes(Encoding.DER)).decode(),
            "timestamp": timestamp,
            "owner_hash": owner_hash,
            "bundle_signature": self._sign(f"{image_hash}{timestamp}"),
        }

    def bundle_of_lines(self, owner_hash: str | None = None, encoding: Encoding = Encoding.PEM) -> Json:
        """A bundle as the authority's own documents describe it: four lines are signed."""
        made = self.bundle(owner_hash)
        made["camera_cert"] = base64.b64encode(self.certificate.public_bytes(encoding)).decode()
        lines = (made["image_hash"], made["camera_cert"], str(made["timestamp"]), owner_hash or "")
        return {**made, "bundle_signature": self._sign("".join(f"{line}\n" for line in lines))}

    def _sign(self, text: str) -> str:
        return base64.b64encode(self.key.sign(text.encode(), ec.ECDSA(hashes.SHA256()))).decode()
