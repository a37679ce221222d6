"""Verifies what a device claims of its keys: takes messages, returns facts.

1. `examine_identity`: the four public areas are of exactly the required templates. Anybody can copy public areas: this
   proves nothing.
2. `examine_proof`: the device returned the credential's secret, so one TPM holds the EK and this AK; the AK, which
   signs only statements that its TPM has put together, certifies the device key and the SRK in this session; and the
   device key signs the CSR.
3. `examine_import`: the AK certifies that the TPM has imported a table's key.

The caller must also verify the EK certificate (`ek.verification`): step 2 alone accepts any TPM, even a fake one.
"""

from __future__ import annotations

import hmac
from dataclasses import dataclass
from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from shared.errors import BirthmarkError
from shared.protocol.messages import Identity, Proof, TableImport
from shared.types import BoardSerial
from station.attestation.csr import examine_csr
from station.attestation.ek.templates import template_of
from station.attestation.tpm2.structures import (
    Alg,
    Attributes,
    Certified,
    Public,
    read_certified,
    read_public,
    read_signature,
)
from station.secrets.blind_index import key_fingerprint

_MADE_IN_TPM: Final = Attributes.FIXED_TPM | Attributes.FIXED_PARENT | Attributes.SENSITIVE_DATA_ORIGIN
"""Made in this TPM, cannot leave it. sensitiveDataOrigin alone proves nothing: an imported key may carry it."""


@dataclass(frozen=True, slots=True)
class _Template:
    """All that a key of ours is made from, but its unique field; `device_agent.tpm.templates` has the other end.

    Every one is P-256 with SHA-256 as its name's hash, and without a policy: a policy would be another way to use the
    key. The reader of public areas accepts no key derivation scheme.
    """

    attributes: Attributes
    aes_bits: int | None
    signing_hash: Alg | None
    """The hash of its ECDSA scheme; None for a key without a scheme."""

    def differences(self, found: Public) -> str:
        """What of `found` is not of this template; empty if nothing."""
        key = found.key()
        aes_bits = found.symmetric.bits if found.symmetric is not None else None
        unlike = {
            "another kind of key than P-256": not isinstance(key, ec.EllipticCurvePublicKey) or key.key_size != 256,
            "its name has another hash than SHA-256": found.name_alg is not Alg.SHA256,
            "it has a policy": bool(found.policy),
            "other symmetric parameters": aes_bits != self.aes_bits,
            "another signature scheme": found.signing_hash is not self.signing_hash,
            f"attributes that it must not have: {_names(found.attributes & ~self.attributes)}": bool(
                found.attributes & ~self.attributes
            ),
            f"attributes that it lacks: {_names(self.attributes & ~found.attributes)}": bool(
                self.attributes & ~found.attributes
            ),
        }
        return "; ".join(what for what, is_so in unlike.items() if is_so)


_OURS: Final = _MADE_IN_TPM | Attributes.USER_WITH_AUTH | Attributes.NO_DA
_AK: Final = _Template(_OURS | Attributes.RESTRICTED | Attributes.SIGN, None, Alg.SHA256)
_DEVICE_KEY: Final = _Template(_OURS | Attributes.SIGN, None, Alg.SHA256)
_SRK: Final = _Template(_OURS | Attributes.RESTRICTED | Attributes.DECRYPT, 128, None)


@dataclass(frozen=True, slots=True)
class Claims:
    """The four keys of an Identity, well-formed and with the required attributes."""

    ek: Public
    ak: Public
    srk: Public
    device: Public

    @property
    def ak_key(self) -> ec.EllipticCurvePublicKey:
        return _ec_key_of(self.ak)

    @property
    def device_key(self) -> ec.EllipticCurvePublicKey:
        return _ec_key_of(self.device)

    @property
    def ek_fingerprint(self) -> bytes:
        """SHA-256 of the SubjectPublicKeyInfo, DER: 32 bytes."""
        return key_fingerprint(self.ek.key())

    @property
    def device_fingerprint(self) -> bytes:
        """SHA-256 of the SubjectPublicKeyInfo, DER: 32 bytes."""
        return key_fingerprint(self.device.key())


@dataclass(frozen=True, slots=True)
class Proven:
    """What else a valid Proof states."""

    firmware: str
    """The TPM's firmware version from its attestation: four 16-bit numbers, separated by dots."""


def examine_identity(identity: Identity) -> Claims:
    """Read the four public areas and check their attributes. Raises `attestation.*`."""
    claims = Claims(
        ek=read_public(identity.ek_public),
        ak=read_public(identity.ak_public),
        srk=read_public(identity.srk_public),
        device=read_public(identity.device_public),
    )
    if template_of(claims.ek) is None:
        raise BirthmarkError("attestation.ek-no-template")
    _check_ak(claims.ak)
    _check_srk(claims.srk)
    _check_device_key(claims.device)
    return claims


def examine_proof(claims: Claims, proof: Proof, transcript_before: bytes, secret: bytes, serial: BoardSerial) -> Proven:
    """Verify a Proof. `transcript_before` is the 32-byte digest before it, `secret` the credential's secret.

    Raises `attestation.*` and `csr.*`.
    """
    if not hmac.compare_digest(proof.secret, secret):
        raise BirthmarkError("attestation.secret-wrong")
    certified = _verify_statement(claims, proof.device_attest, proof.device_signature, transcript_before)
    if certified.name != claims.device.name():
        raise BirthmarkError("attestation.certify-other-key", "the statement on the device key")
    storage = _verify_statement(claims, proof.srk_attest, proof.srk_signature, transcript_before)
    if storage.name != claims.srk.name():
        raise BirthmarkError("attestation.certify-other-key", "the statement on the storage key")
    examine_csr(proof.csr, claims.device_key, serial)
    return Proven(_format_firmware(certified.firmware_version))


def examine_import(claims: Claims, table_import: TableImport, name: bytes, transcript: bytes) -> None:
    """Verify that the key with the TPM name `name` is in the TPM of `claims`.

    A name covers the whole public area, so a key with other attributes has another name. Raises `attestation.*`;
    for another key `attestation.table-not-imported`.
    """
    if _verify_statement(claims, table_import.attest, table_import.signature, transcript).name != name:
        raise BirthmarkError("attestation.table-not-imported", f"table {table_import.table_id}")


def _verify_statement(claims: Claims, attest: bytes, signature: bytes, transcript: bytes) -> Certified:
    """Verify that this device's AK signed the statement in this session, and return its contents."""
    try:
        claims.ak_key.verify(read_signature(signature), attest, ec.ECDSA(hashes.SHA256()))
    except InvalidSignature:
        raise BirthmarkError("attestation.certify-other-ak") from None
    certified = read_certified(attest)
    if not hmac.compare_digest(certified.extra_data, transcript):
        raise BirthmarkError("attestation.certify-other-session")
    return certified


def _check_ak(ak: Public) -> None:
    if Attributes.RESTRICTED not in ak.attributes:
        raise BirthmarkError("attestation.ak-not-restricted")
    if _MADE_IN_TPM not in ak.attributes:
        raise BirthmarkError("attestation.ak-not-fixed")
    if found := _AK.differences(ak):
        raise BirthmarkError("attestation.ak-wrong-kind", found)


def _check_device_key(device: Public) -> None:
    if _MADE_IN_TPM not in device.attributes:
        raise BirthmarkError("attestation.device-key-not-fixed")
    if found := _DEVICE_KEY.differences(device):
        raise BirthmarkError("attestation.device-key-wrong-kind", found)


def _check_srk(srk: Public) -> None:
    if _MADE_IN_TPM not in srk.attributes:
        raise BirthmarkError("attestation.srk-not-fixed")
    if found := _SRK.differences(srk):
        raise BirthmarkError("attestation.srk-wrong-kind", found)


def _names(attributes: Attributes) -> str:
    return ", ".join(attribute.name.lower().replace("_", " ") for attribute in attributes if attribute.name)


def _ec_key_of(public: Public) -> ec.EllipticCurvePublicKey:
    key = public.key()
    if not isinstance(key, ec.EllipticCurvePublicKey):
        raise TypeError("claims hold elliptic curve keys, all but the EK")
    return key


def _format_firmware(version: int) -> str:
    return ".".join(str(version >> shift & 0xFFFF) for shift in (48, 32, 16, 0))
