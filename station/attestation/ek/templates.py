"""The EK templates that TPM vendors certify, as data: TCG "EK Credential Profile for TPM Family 2.0", 2.5, annex B."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from station.attestation.tpm2.structures import Alg, Attributes, Public

_LOW: Final = (
    Attributes.FIXED_TPM
    | Attributes.FIXED_PARENT
    | Attributes.SENSITIVE_DATA_ORIGIN
    | Attributes.ADMIN_WITH_POLICY
    | Attributes.RESTRICTED
    | Attributes.DECRYPT
)
_HIGH: Final = _LOW | Attributes.USER_WITH_AUTH

_POLICY_A: Final = bytes.fromhex("837197674484b3f81a90cc8d46a5d724fd52d76e06520b64f2a1da1b331469aa")
"""PolicySecret of the endorsement hierarchy, SHA-256."""
_POLICY_B_256: Final = bytes.fromhex("ca3d0a99a2b93906f7a3342414efcfb3a385d44cd1fd459089d19b5071c0b7a0")
_POLICY_B_384: Final = bytes.fromhex(
    "b26e7d28d11a50bc53d882bcf5fd3a1a074148bb35d3b4e4cb1c0ad9bde419cacb47ba09699646150f9fc000f3f80e12"
)
"""Policy A, or the policy in an NV index of the TPM vendor, for SHA-256 and SHA-384."""


@dataclass(frozen=True, slots=True)
class EkTemplate:
    """One row of the profile's tables."""

    name: str
    kind: Alg
    key_bits: int
    name_alg: Alg
    aes_bits: int
    attributes: Attributes
    policy: bytes


TEMPLATES: Final = (
    EkTemplate("L-1", Alg.RSA, 2048, Alg.SHA256, 128, _LOW, _POLICY_A),
    EkTemplate("L-2", Alg.ECC, 256, Alg.SHA256, 128, _LOW, _POLICY_A),
    EkTemplate("H-1", Alg.RSA, 2048, Alg.SHA256, 128, _HIGH, _POLICY_B_256),
    EkTemplate("H-2", Alg.ECC, 256, Alg.SHA256, 128, _HIGH, _POLICY_B_256),
    EkTemplate("H-3", Alg.ECC, 384, Alg.SHA384, 256, _HIGH, _POLICY_B_384),
    EkTemplate("H-6", Alg.RSA, 3072, Alg.SHA384, 256, _HIGH, _POLICY_B_384),
    EkTemplate("H-7", Alg.RSA, 4096, Alg.SHA384, 256, _HIGH, _POLICY_B_384),
)
"""The templates whose algorithms we support. No chip that fits a Pi has H-4 (P-521) or H-5 (SM2)."""


def template_of(ek: Public) -> EkTemplate | None:
    """Return the template that `ek` was made from, or None."""
    for template in TEMPLATES:
        if (
            ek.kind is template.kind
            and ek.key().key_size == template.key_bits
            and ek.name_alg is template.name_alg
            and ek.symmetric is not None
            and ek.symmetric.bits == template.aes_bits
            and ek.signing_hash is None
            and ek.attributes == template.attributes
            and ek.policy == template.policy
        ):
            return template
    return None
