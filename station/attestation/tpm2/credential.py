"""TPM2_MakeCredential in software: encrypts a secret that only the TPM with both EK and AK can decrypt."""

from __future__ import annotations

from dataclasses import dataclass

from station.attestation.tpm2.protection import outer_wrap, share_seed
from station.attestation.tpm2.structures import Public, sized


@dataclass(frozen=True, slots=True)
class Credential:
    """The input of TPM2_ActivateCredential, marshalled."""

    id_object: bytes
    """TPM2B_ID_OBJECT (Part 2, 12.4.3)."""
    encrypted_secret: bytes
    """TPM2B_ENCRYPTED_SECRET (Part 2, 11.4.3)."""


def make_credential(ek: Public, ak_name: bytes, secret: bytes) -> Credential:
    """Encrypt `secret` (at most as long as the EK's name hash) for the TPM that holds `ek` and the object `ak_name`.

    TCG TPM 2.0 Part 1, section 24 (credential protection). Raises `attestation.not-a-storage-key` for an EK without
    symmetric parameters.
    """
    seed, encrypted_secret = share_seed(ek, b"IDENTITY")
    return Credential(sized(outer_wrap(ek, seed, ak_name, sized(secret))), encrypted_secret)
