"""A TPM in software that answers as `device_agent.tpm.Tpm` does, in microseconds. It proves nothing.

Sweeps of thousands of points use it; the sweep of TPM faults uses a real swtpm.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property

from cryptography.hazmat.decrepit.ciphers.modes import CFB
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms

from device_agent.storage.endorsement_key import EndorsementKey
from device_agent.storage.tpm_blob import Blob
from device_agent.tpm.tpm import Certified, PublicAreas
from station.attestation.tpm2.protection import kdfa, kdfe
from station.attestation.tpm2.structures import Alg, object_name
from tests.harness.soft_device import Device, Key, certify

_SEALED = b"sealed"


class SoftTpm:
    """One chip: its keys stay the same however often it is opened."""

    manufacturer = "SOFT"
    firmware = "1.2.3.4"

    def __init__(self) -> None:
        self._keys = Device()

    def close(self) -> None:
        """Do nothing: a chip needs no closing."""

    @cached_property
    def _publics(self) -> PublicAreas:
        keys = self._keys
        return PublicAreas(b"", keys.ek.public, keys.ak.public, keys.srk.public, keys.device.public)

    def public_areas(self, ek_template: str | None = None) -> PublicAreas:
        return self._publics

    def endorsement_key(self) -> EndorsementKey:
        return EndorsementKey(template="L-2", name=self._keys.ek.name.hex())

    def expect_endorsement_key(self, verified: EndorsementKey) -> None:
        assert verified == self.endorsement_key()

    @contextmanager
    def encrypted(self) -> Iterator[None]:
        """Encrypt nothing: there is no bus."""
        yield

    def activate(self, id_object: bytes, encrypted_secret: bytes) -> bytes:
        return _unwrap(self._keys.ek, encrypted_secret, b"IDENTITY", self._keys.ak.name, id_object)

    def certify_device_key(self, qualifying: bytes) -> Certified:
        return Certified(*certify(self._keys.device.name, self._keys.ak, qualifying))

    def certify_storage_key(self, qualifying: bytes) -> Certified:
        return Certified(*certify(self._keys.srk.name, self._keys.ak, qualifying))

    def certify_blob(self, blob: Blob, qualifying: bytes) -> Certified:
        return Certified(*certify(_name(blob.public), self._keys.ak, qualifying))

    def sign(self, digest: bytes) -> bytes:
        return self._keys.device.private.sign(digest, ec.ECDSA(Prehashed(hashes.SHA256())))

    def device_key(self) -> ec.EllipticCurvePrivateKey:
        return self._keys.device.private

    def device_public_key(self) -> ec.EllipticCurvePublicKey:
        return self._keys.device.private.public_key()

    def import_key(self, public: bytes, duplicate: bytes, seed: bytes) -> Blob:
        sensitive = _unwrap(self._keys.srk, seed, b"DUPLICATE", _name(public), duplicate)
        return Blob(public=public, private=sensitive[-32:])

    def seal(self, data: bytes) -> Blob:
        return Blob(public=_SEALED, private=data)

    def unseal(self, blob: Blob) -> bytes:
        assert blob.public == _SEALED
        return blob.private

    def hmac(self, blob: Blob, data: bytes) -> bytes:
        return hmac.digest(blob.private, data, hashlib.sha256)


class SoftTpmSource:
    """Replaces `device_agent.tpm.source.TpmSource`."""

    name = "soft"

    def __init__(self) -> None:
        self.tpm = SoftTpm()

    def get(self) -> SoftTpm:
        return self.tpm

    def drop(self) -> None:
        """Do nothing: there is nothing to open again."""


def _name(public: bytes) -> bytes:
    """Return the name of an object given as TPM2B_PUBLIC."""
    return object_name(Alg.SHA256, public[2:])


def _unwrap(key: Key, encrypted_seed: bytes, label: bytes, name: bytes, wrapped: bytes) -> bytes:
    """Invert `station.attestation.tpm2.protection`: check the integrity of a TPM2B, and return its content."""
    x_size = int.from_bytes(encrypted_seed[2:4], "big")
    x, y = encrypted_seed[4 : 4 + x_size], encrypted_seed[6 + x_size :]
    point = ec.EllipticCurvePublicNumbers(int.from_bytes(x, "big"), int.from_bytes(y, "big"), key.private.curve)
    static_x = key.private.public_key().public_numbers().x.to_bytes(32, "big")
    shared = key.private.exchange(ec.ECDH(), point.public_key())
    seed = kdfe(hashlib.sha256, shared, label, x, static_x, 256)
    mac, ciphertext = wrapped[4:36], wrapped[36:]
    integrity_key = kdfa(hashlib.sha256, seed, b"INTEGRITY", b"", 256)
    assert hmac.compare_digest(mac, hmac.digest(integrity_key, ciphertext + name, hashlib.sha256))
    storage_key = kdfa(hashlib.sha256, seed, b"STORAGE", name, 128)
    decryptor = Cipher(algorithms.AES(storage_key), CFB(bytes(16))).decryptor()
    return (decryptor.update(ciphertext) + decryptor.finalize())[2:]
