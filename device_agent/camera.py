"""The provisioned camera, for the camera's own program: its identity, certificate chain, signatures and NUC tokens.

    with Camera.open() as camera:
        token = camera.token()
        signature = camera.sign(b"...")

Private keys and table keys never leave the TPM. One `Camera` may be used from any number of threads, such as one that
takes pictures and one that submits them.
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import threading
from base64 import b64encode
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Final

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from device_agent.storage.disk import Disk
from device_agent.storage.identity import Identity, IdentityStore
from device_agent.storage.sealed_map import open_map
from device_agent.storage.state_dir import DEFAULT_STATE_DIR, check_state_dir, lock_state_dir
from device_agent.tpm import DeviceKey, Tpm
from device_agent.tpm.source import SIMULATOR, name_from_file, open_tpm
from shared import limits
from shared.birthmark.bundle import signed_text
from shared.birthmark.derivation import expand_input
from shared.birthmark.nuc_token import NONCE_BYTES, NucToken, seal_token
from shared.errors import BirthmarkError
from shared.types import KeyIndex, NucHash, TableId, TokenKey, key_index, table_id

SIGNATURE_FIELD: Final = "device_signature"


class Camera:
    """One unit's identity and its TPM, for any number of threads: a TPM does one thing at a time, and the others wait.

    Every method that uses the TPM may raise `tpm.*`: after `open` has ended, `tpm.closed`.
    """

    def __init__(self, identity: Identity, tpm: Tpm) -> None:
        self._identity = identity
        self._opened: Tpm | None = tpm
        self._turn = threading.RLock()
        """Held by the thread that uses the TPM. What takes several commands, as a token does, is one turn: its keys and
        its encrypted session are in the TPM from the first command to the last."""
        self._tables: Final = {TableId(table.table_id): table.key for table in identity.secrets.tables}

    @classmethod
    @contextmanager
    def open(cls, state_dir: Path = DEFAULT_STATE_DIR, tpm: str | None = None) -> Iterator[Camera]:
        """Open the camera whose identity is in `state_dir`, which must be this user's own.

        `tpm` says how its TPM is found where that is neither the simulator in `state_dir` nor one of the kernel's.
        Raises `identity.missing`, `identity.damaged`, `identity.permission`, `tpm.*`, and `tpm.not-this-one` when the
        identity was made with another TPM. Methods that use a secret raise `tpm.another-ek` when the TPM shows another
        endorsement key than the one that the station verified.
        """
        check_state_dir(state_dir)
        identity = IdentityStore(state_dir, Disk()).load()
        if identity is None:
            raise BirthmarkError("identity.missing", str(state_dir))
        name = tpm or name_from_file(identity.about.tpm)
        with ExitStack() as stack:
            if name == SIMULATOR:  # a simulator serves one program at a time; a chip's resource manager serves many
                stack.enter_context(lock_state_dir(state_dir))
            opened = stack.enter_context(open_tpm(name, state_dir)).get()
            if not identity.is_for(opened.device_public_key()):
                raise BirthmarkError("tpm.not-this-one", str(state_dir))
            opened.expect_endorsement_key(identity.about.ek)
            camera = cls(identity, opened)
            try:
                yield camera
            finally:
                camera._close()

    @contextmanager
    def _tpm(self) -> Iterator[Tpm]:
        with self._turn:
            if self._opened is None:
                raise BirthmarkError("tpm.closed")
            yield self._opened

    def _close(self) -> None:
        """Wait for the thread whose turn it is; the next ones are refused, for their TPM is about to be let go."""
        with self._turn:
            self._opened = None

    @property
    def serial(self) -> str:
        """The board's serial number."""
        return self._identity.about.serial

    @property
    def model(self) -> str:
        """The board's model, which is Birthmark's device family."""
        return self._identity.about.model

    @property
    def authority_id(self) -> str:
        """The `manufacturer_authority_id` and `authority_id` of a submission."""
        return self._identity.about.authority_id

    @property
    def validation_endpoint(self) -> str:
        """URL of the authority's `/validate`."""
        return self._identity.about.validation_endpoint

    @property
    def table_ids(self) -> tuple[TableId, ...]:
        """The unit's three key tables."""
        return tuple(self._tables)

    @property
    def certificate(self) -> x509.Certificate:
        return self._identity.chain[0]

    @property
    def certificate_chain(self) -> tuple[x509.Certificate, ...]:
        """DER: the unit's certificate first, the root last."""
        return self._identity.chain

    def private_key(self) -> ec.EllipticCurvePrivateKey:
        """Return the device key as a private key of cryptography, for TLS client authentication, CMS, COSE.

        It only signs, in any thread.
        """
        with self._tpm() as tpm:
            return DeviceKey(self.sign_digest, tpm.device_public_key())

    def sign(self, data: bytes) -> bytes:
        """Sign `data`. Returns DER ECDSA P-256 with SHA-256."""
        return self.sign_digest(hashlib.sha256(data).digest())

    def sign_digest(self, digest: bytes) -> bytes:
        """Sign data by its SHA-256, 32 bytes. Returns what `sign` returns."""
        with self._tpm() as tpm:
            return tpm.sign(digest)

    def sign_bundle(self, bundle: Mapping[str, Any]) -> dict[str, Any]:
        """Return `bundle` with `device_signature`: base64 of DER, over the bundle's JSON with sorted keys."""
        unsigned = {name: value for name, value in bundle.items() if name != SIGNATURE_FIELD}
        signature = self.sign(json.dumps(unsigned, sort_keys=True).encode())
        return {**unsigned, SIGNATURE_FIELD: b64encode(signature).decode()}

    def certificate_bundle(self, image_hash: str, timestamp: int, gps_hash: str | None = None) -> dict[str, Any]:
        """Make the body of `/validate-cert`. `image_hash` and `gps_hash` are 64 hexadecimal digits.

        The signature covers `shared.birthmark.bundle.signed_text`.
        """
        certificate = b64encode(self.certificate.public_bytes(Encoding.DER)).decode()
        signed = signed_text(image_hash, certificate, timestamp, gps_hash)
        return {
            "camera_cert": certificate,
            "image_hash": image_hash,
            "timestamp": timestamp,
            "gps_hash": gps_hash,
            "bundle_signature": b64encode(self.sign(signed)).decode(),
        }

    def token(self, table: int | None = None, index: int | None = None) -> NucToken:
        """Make a fresh NUC token, with a random table of the unit and a random key of it unless given.

        Raises `table.not-ours`, `table.id-out-of-range`, `table.index-out-of-range`.
        """
        chosen = secrets.choice(self.table_ids) if table is None else table_id(table)
        if chosen not in self._tables:
            raise BirthmarkError("table.not-ours", str(chosen))
        number = KeyIndex(secrets.randbelow(limits.KEYS_PER_TABLE)) if index is None else key_index(index)
        with self._tpm() as tpm, tpm.encrypted():
            key = TokenKey(tpm.hmac(self._tables[chosen], expand_input(number)))
            nuc_hash = self.nuc_hash()
        return seal_token(key, os.urandom(NONCE_BYTES), nuc_hash, chosen, number)

    def nuc_hash(self) -> NucHash:
        """Return the sensor's fingerprint, unsealed by the TPM."""
        with self._tpm() as tpm:
            return NucHash(tpm.unseal(self._identity.sealed_map.hash))

    def nuc_map(self) -> bytes:
        """Return the sensor's NUC map as captured, to correct pictures with. Raises `identity.damaged`."""
        sealed = self._identity.sealed_map
        with self._tpm() as tpm:
            key = tpm.unseal(sealed.key)
        return open_map(sealed.file, key).data
