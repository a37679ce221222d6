"""The public camera program as a launcher sees it: three names in this module, and what is done with what they give.

Written from Birthmark's interface (the loader's nine fields, the token's five, the two bundles' signatures), not from
that program. The three names here stand for its own loader, which wants provisioning.json with every key in the clear.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import json
import queue
import secrets
import threading
import urllib.request
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding


class ProvisioningClient:
    def __init__(self, path: str | None = None) -> None:
        self.path = path or "data/provisioning.json"

    def load_from_file(self) -> Any:
        raise FileNotFoundError(self.path)


def create_token_generator_from_provisioning(data: Any) -> Any:
    raise AttributeError("no master keys")


def create_tpm_interface_from_provisioning(data: Any) -> Any:
    raise AttributeError("no private key")


_SHA256 = ec.ECDSA(hashes.SHA256())


class _Camera:
    def __init__(self, server: str) -> None:
        self.data = ProvisioningClient(None).load_from_file()
        self.tokens = create_token_generator_from_provisioning(self.data)
        self.tpm = create_tpm_interface_from_provisioning(self.data)
        self.server = server
        self.queue: queue.Queue[dict[str, Any] | None] = queue.Queue()
        self.worker = threading.Thread(target=self._submit)
        self.worker.start()

    def capture(self, number: int) -> None:
        token = self.tokens.generate_token()
        fields = token.to_dict()
        tables = self.data.table_assignments
        indices = [secrets.randbelow(1000) for _ in tables]
        indices[tables.index(token.table_id)] = token.key_index
        packed = bytes.fromhex(fields["ciphertext"] + fields["nonce"] + fields["auth_tag"])
        bundle = {
            "image_hash": hashlib.sha256(str(number).encode()).hexdigest(),
            "encrypted_nuc_token": base64.b64encode(packed).decode(),
            "table_references": tables,
            "key_indices": indices,
            "timestamp": 1_795_000_000 + number,
            "modification_level": 0,
        }
        signature = self.tpm._private_key.sign(json.dumps(bundle, sort_keys=True).encode(), _SHA256)
        self.queue.put(bundle | {"device_signature": base64.b64encode(signature).decode()})

    def _submit(self) -> None:
        """Submit each bundle, and a certificate bundle for the same picture, which is signed only here."""
        while bundle := self.queue.get():
            self._post("/api/v1/submit-legacy", bundle)
            own = x509.load_pem_x509_certificate(self.data.device_certificate.encode()).public_bytes(Encoding.DER)
            text = f"{bundle['image_hash']}{bundle['timestamp']}".encode()
            self._post(
                "/api/v1/submit-cert",
                {
                    "image_hash": bundle["image_hash"],
                    "camera_cert": base64.b64encode(own).decode(),
                    "software_cert": None,
                    "timestamp": bundle["timestamp"],
                    "bundle_signature": base64.b64encode(self.tpm._private_key.sign(text, _SHA256)).decode(),
                },
            )

    def _post(self, path: str, body: dict[str, Any]) -> None:
        headers = {"Content-Type": "application/json"}
        request = urllib.request.Request(self.server + path, json.dumps(body).encode(), headers)  # noqa: S310
        urllib.request.urlopen(request, timeout=60).close()  # noqa: S310

    def close(self) -> None:
        self.queue.put(None)
        self.worker.join()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("command", choices=["timelapse", "info"])
    parser.add_argument("--submission-server", required=True)
    parser.add_argument("--count", type=int, default=1)
    options = parser.parse_args()
    camera = _Camera(options.submission_server)
    try:
        if options.command == "info":
            data = camera.data
            print(data.device_serial, data.device_family, data.table_assignments, data.nuc_hash[:16])
        else:
            for number in range(options.count):
                camera.capture(number)
    finally:
        camera.close()
