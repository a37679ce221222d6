"""What a device says of its keys, and whether it proves it. Takes messages, gives facts; sends and stores nothing.

1. `examine_identity`: the four public areas are what they must be. Anybody can copy public areas; nothing is proven.
2. `examine_proof`: the device gave the credential's secret back, so one genuine TPM holds the EK and this very AK; the
   AK, which signs nothing but what its TPM found itself, certifies device key and storage key in this session; and the
   request is signed by that device key.
3. `examine_import`: the AK certifies that a table's key has arrived.

What the caller must still do: verify the EK's certificate (`ek_certificate`), without which step 2 is about any TPM.
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

_BORN_HERE: Final = Attributes.FIXED_TPM | Attributes.FIXED_PARENT | Attributes.SENSITIVE_DATA_ORIGIN
"""Made in this TPM and never leaving it. sensitiveDataOrigin alone is only a claim: an imported key may make it."""

_SRK_AES_BITS: Final = 128


@dataclass(frozen=True, slots=True)
class Claims:
    """The four keys of an Identity, well-formed and with the attributes they must have."""

    ek: Public
    ak: Public
    srk: Public
    device: Public

    @property
    def ak_key(self) -> ec.EllipticCurvePublicKey:
        return _p256(self.ak)

    @property
    def device_key(self) -> ec.EllipticCurvePublicKey:
        return _p256(self.device)

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
    """What a Proof says beyond that it holds."""

    firmware: str
    """The TPM's firmware version as its attestation states it: four numbers of 16 bits, with dots."""


def examine_identity(identity: Identity) -> Claims:
    """Read the four public areas and refuse those that no honest agent has. Raises `attestation.*`."""
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
    """Verify a Proof. `transcript_before` is the 32-byte digest before it, `secret` what the credential held.

    Raises `attestation.*` and `csr.*`.
    """
    if not hmac.compare_digest(proof.secret, secret):
        raise BirthmarkError("attestation.secret-wrong")
    certified = _statement(claims, proof.device_attest, proof.device_signature, transcript_before)
    if certified.name != claims.device.name():
        raise BirthmarkError("attestation.certify-other-key", "the statement on the device key")
    storage = _statement(claims, proof.srk_attest, proof.srk_signature, transcript_before)
    if storage.name != claims.srk.name():
        raise BirthmarkError("attestation.certify-other-key", "the statement on the storage key")
    examine_csr(proof.csr, claims.device_key, serial)
    return Proven(_firmware(certified.firmware_version))


def examine_import(claims: Claims, table_import: TableImport, name: bytes, transcript: bytes) -> None:
    """Verify that the key with the TPM name `name` is in the TPM of `claims`.

    A name covers the whole public area, so it cannot be a key with other attributes. Raises `attestation.*`, for
    another key `attestation.table-not-imported`.
    """
    if _statement(claims, table_import.attest, table_import.signature, transcript).name != name:
        raise BirthmarkError("attestation.table-not-imported", f"table {table_import.table_id}")


def _statement(claims: Claims, attest: bytes, signature: bytes, transcript: bytes) -> Certified:
    """What this device's AK has certified in this session."""
    try:
        claims.ak_key.verify(read_signature(signature), attest, ec.ECDSA(hashes.SHA256()))
    except InvalidSignature:
        raise BirthmarkError("attestation.certify-other-ak") from None
    certified = read_certified(attest)
    if not hmac.compare_digest(certified.extra_data, transcript):
        raise BirthmarkError("attestation.certify-other-session")
    return certified


def _check_ak(ak: Public) -> None:
    if not _is_p256(ak) or ak.symmetric is not None or ak.signing_hash is not Alg.SHA256:
        raise BirthmarkError("attestation.ak-wrong-kind")
    if Attributes.RESTRICTED not in ak.attributes:
        raise BirthmarkError("attestation.ak-not-restricted")
    if _BORN_HERE not in ak.attributes:
        raise BirthmarkError("attestation.ak-not-fixed")
    if Attributes.SIGN not in ak.attributes or ak.attributes & (Attributes.DECRYPT | Attributes.X509_SIGN):
        raise BirthmarkError("attestation.ak-wrong-kind", "it must sign, and do nothing else")


def _check_device_key(device: Public) -> None:
    if not _is_p256(device) or device.symmetric is not None or device.signing_hash not in (None, Alg.SHA256):
        raise BirthmarkError("attestation.device-key-wrong-kind")
    if _BORN_HERE not in device.attributes:
        raise BirthmarkError("attestation.device-key-not-fixed")
    unwanted = Attributes.RESTRICTED | Attributes.DECRYPT | Attributes.X509_SIGN
    if Attributes.SIGN not in device.attributes or device.attributes & unwanted:
        raise BirthmarkError("attestation.device-key-wrong-kind", "it must sign anything, and do nothing else")


def _check_srk(srk: Public) -> None:
    has_aes = srk.symmetric is not None and srk.symmetric.bits == _SRK_AES_BITS
    if not _is_p256(srk) or not has_aes or srk.signing_hash is not None:
        raise BirthmarkError("attestation.srk-wrong-kind")
    if _BORN_HERE not in srk.attributes:
        raise BirthmarkError("attestation.srk-not-fixed")
    if (Attributes.RESTRICTED | Attributes.DECRYPT) not in srk.attributes or Attributes.SIGN in srk.attributes:
        raise BirthmarkError("attestation.srk-wrong-kind", "it must be a storage key")


def _is_p256(public: Public) -> bool:
    key = public.key()
    return public.name_alg is Alg.SHA256 and isinstance(key, ec.EllipticCurvePublicKey) and key.key_size == 256


def _p256(public: Public) -> ec.EllipticCurvePublicKey:
    key = public.key()
    if not isinstance(key, ec.EllipticCurvePublicKey):
        raise TypeError("claims hold elliptic curve keys, all but the EK")
    return key


def _firmware(version: int) -> str:
    return ".".join(str(version >> shift & 0xFFFF) for shift in (48, 32, 16, 0))
