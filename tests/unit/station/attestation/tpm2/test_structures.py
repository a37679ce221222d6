"""TPM structures are read to the last byte or refused, whatever the bytes."""

from __future__ import annotations

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import example, given

from shared.errors import BirthmarkError
from station.attestation.tpm2.structures import read_certified, read_public, read_signature, sized
from tests.harness.damage import damaged, never_crashes
from tests.harness.soft_device import NOTHING, Device, certify, new_key

HONEST = Device()
ATTEST, SIGNATURE = certify(HONEST.device.name, HONEST.ak)


@given(damaged(HONEST.ek.public, HONEST.ak.public, HONEST.srk.public))
@example(bytes.fromhex("0001000b000300b20000001000100800ffffffff0000"))
def test_a_public_area_is_read_or_refused(public: bytes) -> None:
    never_crashes(read_public, public)


@given(damaged(ATTEST))
def test_a_statement_is_read_or_refused(statement: bytes) -> None:
    never_crashes(read_certified, statement)


@given(damaged(SIGNATURE))
def test_a_signature_is_read_or_refused(signature: bytes) -> None:
    never_crashes(read_signature, signature)


def test_a_structure_is_read_to_its_last_byte() -> None:
    for read, honest in (
        (read_public, HONEST.ak.public),
        (read_certified, ATTEST),
        (read_signature, SIGNATURE),
    ):
        read(honest)
        for wrong in (honest + b"\0", *(honest[:end] for end in range(len(honest)))):
            with pytest.raises(BirthmarkError):
                read(wrong)


def test_a_point_off_its_curve_is_refused() -> None:
    public = bytearray(HONEST.device.public)
    public[-1] ^= 1
    with pytest.raises(BirthmarkError, match="not on its curve"):
        read_public(bytes(public))


# --- points and moduli: cases of keylime's test_tpm2_objects, by idea ---

P256 = 2**256 - 2**224 + 2**192 + 2**96 - 1
P256_B = 0x5AC635D8AA3A93E7B3EBBD55769886BC651D06B0CC53B0F63BCE3C3E27D2604B
"""The prime of the field of P-256, and the b of its equation."""


def octets(number: int) -> bytes:
    return number.to_bytes(32, "big")


def with_point(x: bytes, y: bytes, curve: int = 3) -> bytes:
    """The honest device key's public area with another point."""
    head = HONEST.device.public[: -2 * (2 + 32) - 4]
    return head + curve.to_bytes(2, "big") + NOTHING + sized(x) + sized(y)


def refused(public: bytes) -> str:
    with pytest.raises(BirthmarkError) as caught:
        read_public(public)
    assert caught.value.code == "attestation.public-malformed"
    return caught.value.detail


@pytest.mark.parametrize("point", [(0, 0), (1, 1), (0, 1), (P256 - 1, P256 - 1)])
def test_the_point_at_infinity_and_others_off_the_curve_are_refused(point: tuple[int, int]) -> None:
    x, y = point
    assert refused(with_point(octets(x), octets(y))) == "the point is not on its curve"


def test_a_coordinate_beyond_the_field_is_refused_although_it_is_on_the_curve_modulo_its_prime() -> None:
    y = pow(P256_B, (P256 + 1) // 4, P256)  # where x is 0
    read_public(with_point(octets(0), octets(y)))
    assert refused(with_point(octets(P256), octets(y))) == "the point is not on its curve"


@pytest.mark.parametrize("curve", [0, 1, 2, 5, 0x10, 0x20, 0x9999])
def test_other_curves_are_refused(curve: int) -> None:
    """P-192, P-224, P-521, BN-256, SM2, and what is none."""
    point = HONEST.device.private.public_key().public_numbers()
    assert refused(with_point(octets(point.x), octets(point.y), curve)) == "unknown curve"


def test_a_coordinate_is_never_longer_than_the_curve_and_may_be_shorter() -> None:
    """Some TPMs leave out leading zeros; the key is the same."""
    assert refused(with_point(bytes(1) + octets(1), octets(1))) == "a field is too long"
    key = key_with_leading_zero()
    point = key.public_key().public_numbers()
    assert read_public(with_point(octets(point.x)[1:], octets(point.y))).key() == key.public_key()


def key_with_leading_zero() -> ec.EllipticCurvePrivateKey:
    """A key whose x begins with a zero byte: one in 256."""
    return next(key for _ in range(10_000) if (key := new_key()).public_key().public_numbers().x < 1 << 248)


@pytest.mark.parametrize(
    ("bits", "exponent", "modulus"),
    [
        (2048, 3, 1 << 2047 | 1),
        (2048, 0, 1 << 2047),
        (2048, 0, 1 << 2046 | 1),
        (2048, 0, 0),
        (1024, 0, 1 << 1023 | 1),
        (2047, 0, 1 << 2046 | 1),
    ],
    ids=["exponent", "even", "short", "zero", "1024", "2047"],
)
def test_an_rsa_key_of_another_size_or_exponent_or_with_an_even_modulus_is_refused(
    bits: int, exponent: int, modulus: int
) -> None:
    head = bytes.fromhex("0001000b000300b20000") + NOTHING + NOTHING
    refused(head + bits.to_bytes(2, "big") + exponent.to_bytes(4, "big") + sized(modulus.to_bytes(256, "big")))


# --- signatures: cases of step-ca's device-attest-01, by idea ---


@pytest.mark.parametrize("scheme", ["0014000b", "0016000b", "001a000b", "001b000b", "001c000b", "0005000b", "0010"])
def test_a_signature_of_another_scheme_is_refused(scheme: str) -> None:
    """RSASSA, RSAPSS, ECDAA, SM2, Schnorr, HMAC, and none."""
    with pytest.raises(BirthmarkError) as caught:
        read_signature(bytes.fromhex(scheme) + SIGNATURE[4:])
    assert caught.value.code == "attestation.signature-malformed"
