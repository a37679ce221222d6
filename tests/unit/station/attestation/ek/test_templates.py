"""The EK templates: their policies follow from the TPM specification, and a key with any difference matches none."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from station.attestation.ek.templates import TEMPLATES, EkTemplate, template_of
from station.attestation.tpm2.structures import Alg, Attributes, Public, PublicKey, Symmetric, read_public
from tests.harness.soft_device import Device

POLICY_SECRET = bytes.fromhex("00000151")  # TPM_CC_PolicySecret, Part 2, 6.5.2
POLICY_OR = bytes.fromhex("00000171")
ENDORSEMENT = bytes.fromhex("4000000b")  # TPM_RH_ENDORSEMENT, Part 2, 7.4
POLICY_C_256 = bytes.fromhex("3767e2edd43ff45a3a7e1eaefcef78643dca964632e7aad82c673a30d8633fde")
POLICY_C_384 = bytes.fromhex(
    "d6032ce61f2fb3c240eb3cf6a33237ef2b6a16f4293c22b455e261cffd217ad5b4947c2d73e63005eed2dc2b3593d165"
)
"""Profile 2.5, annex B: TPM2_PolicyAuthorizeNV with the TPM vendor's index."""

_CURVES: dict[int, ec.EllipticCurve] = {256: ec.SECP256R1(), 384: ec.SECP384R1()}


def key_of(template: EkTemplate) -> PublicKey:
    if template.kind is Alg.ECC:
        return ec.generate_private_key(_CURVES[template.key_bits]).public_key()
    return rsa.RSAPublicNumbers(65537, 1 << template.key_bits - 1 | 1).public_key()


def made_from(template: EkTemplate) -> Public:
    return Public(
        raw=b"",
        kind=template.kind,
        name_alg=template.name_alg,
        attributes=template.attributes,
        policy=template.policy,
        symmetric=Symmetric(template.aes_bits),
        signing_hash=None,
        _key=key_of(template),
    )


def policy_secret(hash_: Callable[..., Any]) -> bytes:
    """Part 3, TPM2_PolicySecret: the policy after it, for the endorsement hierarchy and an empty policyRef."""
    digest: bytes = hash_(hash_(bytes(hash_().digest_size) + POLICY_SECRET + ENDORSEMENT).digest()).digest()
    return digest


def policy_or(hash_: Callable[..., Any], *branches: bytes) -> bytes:
    digest: bytes = hash_(bytes(hash_().digest_size) + POLICY_OR + b"".join(branches)).digest()
    return digest


def test_the_policies_are_those_that_a_tpm_computes() -> None:
    a_256, a_384 = policy_secret(hashlib.sha256), policy_secret(hashlib.sha384)
    b_256 = policy_or(hashlib.sha256, a_256, POLICY_C_256)
    b_384 = policy_or(hashlib.sha384, a_384, POLICY_C_384)
    expected = {"L-1": a_256, "L-2": a_256, "H-1": b_256, "H-2": b_256, "H-3": b_384, "H-6": b_384, "H-7": b_384}
    assert {template.name: template.policy for template in TEMPLATES} == expected


@pytest.mark.parametrize("template", TEMPLATES, ids=lambda template: template.name)
def test_a_key_made_from_a_template_is_known_by_it(template: EkTemplate) -> None:
    assert template_of(made_from(template)) is template


@pytest.mark.parametrize("template", TEMPLATES, ids=lambda template: template.name)
def test_a_key_that_differs_in_anything_has_no_template(template: EkTemplate) -> None:
    ek = made_from(template)
    other_hash = Alg.SHA384 if template.name_alg is Alg.SHA256 else Alg.SHA256
    differing = [
        replace(ek, name_alg=other_hash),
        replace(ek, policy=b""),
        replace(ek, policy=template.policy[:-1] + bytes([template.policy[-1] ^ 1])),
        replace(ek, symmetric=None),
        replace(ek, symmetric=Symmetric(384 - template.aes_bits)),
        replace(ek, signing_hash=Alg.SHA256),
        replace(ek, _key=rsa.RSAPublicNumbers(65537, 1 << 1023 | 1).public_key()),
        *(replace(ek, attributes=ek.attributes ^ attribute) for attribute in Attributes),
    ]
    assert [template_of(other) for other in differing] == [None] * len(differing)


def test_an_ek_read_from_a_tpms_bytes_is_known_and_its_other_keys_are_not() -> None:
    device = Device()
    known = template_of(read_public(device.ek.public))
    assert known is not None
    assert known.name == "L-2"
    assert template_of(read_public(device.srk.public)) is None
    assert template_of(read_public(device.ak.public)) is None
