"""Reads the marshalled TPM structures that a device sends, strictly, and writes those that a TPM reads.

Section numbers are those of the TCG "Trusted Platform Module Library, Part 2: Structures", family 2.0, revision 1.59.
A structure with bytes left over, or of a kind that no honest agent sends, raises `attestation.*-malformed`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum, IntFlag
from typing import Any, Final, TypeAlias

from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

from shared.errors import BirthmarkError, ErrorCode

PublicKey: TypeAlias = rsa.RSAPublicKey | ec.EllipticCurvePublicKey

_GENERATED: Final = 0xFF544347  # TPM_GENERATED_VALUE, 6.2
_ATTEST_CERTIFY: Final = 0x8017  # TPM_ST_ATTEST_CERTIFY, 6.9
_DEFAULT_EXPONENT: Final = 65537
_CURVES: Final[dict[int, ec.EllipticCurve]] = {3: ec.SECP256R1(), 4: ec.SECP384R1()}  # TPM_ECC_CURVE, 6.4
_RSA_BITS: Final = (2048, 3072, 4096)
_MAX_SIZED: Final = 512  # the largest sized field here is an RSA-4096 modulus


class Alg(IntEnum):
    """TPM_ALG_ID (6.3), the values used here."""

    RSA = 0x0001
    HMAC = 0x0005
    AES = 0x0006
    KEYEDHASH = 0x0008
    SHA256 = 0x000B
    SHA384 = 0x000C
    NULL = 0x0010
    ECDSA = 0x0018
    ECC = 0x0023
    CFB = 0x0043


HASHES: Final[dict[Alg, Callable[..., Any]]] = {Alg.SHA256: hashlib.sha256, Alg.SHA384: hashlib.sha384}


class Attributes(IntFlag):
    """TPMA_OBJECT (8.3)."""

    FIXED_TPM = 1 << 1
    ST_CLEAR = 1 << 2
    FIXED_PARENT = 1 << 4
    SENSITIVE_DATA_ORIGIN = 1 << 5
    USER_WITH_AUTH = 1 << 6
    ADMIN_WITH_POLICY = 1 << 7
    FIRMWARE_LIMITED = 1 << 8
    SVN_LIMITED = 1 << 9
    NO_DA = 1 << 10
    ENCRYPTED_DUPLICATION = 1 << 11
    RESTRICTED = 1 << 16
    DECRYPT = 1 << 17
    SIGN = 1 << 18
    X509_SIGN = 1 << 19


_KNOWN_ATTRIBUTES: Final = sum(Attributes)


@dataclass(frozen=True, slots=True)
class Symmetric:
    """TPMT_SYM_DEF_OBJECT (11.1.7): AES in CFB mode, with keys of `bits` bits."""

    bits: int


@dataclass(frozen=True, slots=True)
class Public:
    """TPMT_PUBLIC (12.2.4) of an RSA or ECC key; the point is on its curve, the modulus has the stated size."""

    raw: bytes
    kind: Alg
    name_alg: Alg
    attributes: Attributes
    policy: bytes
    """authPolicy: empty, or a digest."""
    symmetric: Symmetric | None
    signing_hash: Alg | None
    """The hash of its ECDSA scheme; None for a key without a scheme."""
    _key: PublicKey

    def name(self) -> bytes:
        """TPM2B_NAME's contents (16 of Part 1): the name algorithm's number, 2 bytes, and the digest."""
        return object_name(self.name_alg, self.raw)

    def key(self) -> PublicKey:
        return self._key


@dataclass(frozen=True, slots=True)
class Certified:
    """TPMS_ATTEST (10.12.12) holding a TPMS_CERTIFY_INFO (10.12.3)."""

    extra_data: bytes
    """The qualifying data that the caller of TPM2_Certify gave."""
    firmware_version: int
    """64 bits. The TPM vendor defines their meaning; usually four 16-bit numbers."""
    name: bytes
    """The certified object's name."""


def object_name(alg: Alg, public: bytes) -> bytes:
    """The name of an object with the TPMT_PUBLIC `public`."""
    digest: bytes = HASHES[alg](public).digest()
    return alg.to_bytes(2, "big") + digest


def sized(content: bytes) -> bytes:
    """A TPM2B: 2 bytes of size, then the content."""
    return len(content).to_bytes(2, "big") + content


def read_public(octets: bytes) -> Public:
    """Read a marshalled TPMT_PUBLIC. Raises `attestation.public-malformed`."""
    reader = _Reader(octets, "attestation.public-malformed")
    kind = reader.alg(Alg.RSA, Alg.ECC)
    name_alg = reader.alg(*HASHES)
    attributes = reader.number(4)
    if attributes & ~_KNOWN_ATTRIBUTES:
        raise reader.error("reserved attributes are set")
    policy = reader.sized()
    if len(policy) not in (0, HASHES[name_alg]().digest_size):
        raise reader.error("the policy is not a digest")
    symmetric = reader.symmetric()
    key: PublicKey
    if kind is Alg.RSA:
        reader.alg(Alg.NULL)
        signing_hash = None
        key = reader.rsa_key()
    else:
        signing_hash = reader.alg(*HASHES) if reader.alg(Alg.NULL, Alg.ECDSA) is Alg.ECDSA else None
        key = reader.ecc_key()
    reader.end()
    return Public(bytes(octets), kind, name_alg, Attributes(attributes), policy, symmetric, signing_hash, key)


def read_certified(octets: bytes) -> Certified:
    """Read a marshalled TPMS_ATTEST made by TPM2_Certify.

    Raises `attestation.attest-malformed`, or `attestation.not-a-certify` for another kind of statement.
    """
    reader = _Reader(octets, "attestation.attest-malformed")
    if reader.number(4) != _GENERATED:
        raise reader.error("it was not made inside a TPM")
    if reader.number(2) != _ATTEST_CERTIFY:
        raise BirthmarkError("attestation.not-a-certify")
    reader.sized()  # qualifiedSigner: the signature shows which key signed
    extra_data = reader.sized()
    reader.number(8 + 4 + 4)  # TPMS_CLOCK_INFO (10.11.1): clock, resetCount, restartCount
    if reader.number(1) > 1:
        raise reader.error("safe is neither YES nor NO")
    firmware_version = reader.number(8)
    name = reader.sized()
    reader.sized()  # qualifiedName
    reader.end()
    return Certified(extra_data, firmware_version, name)


def read_signature(octets: bytes) -> bytes:
    """Read a marshalled TPMT_SIGNATURE (11.3.4), ECDSA with SHA-256. Returns it as DER.

    Raises `attestation.signature-malformed`.
    """
    reader = _Reader(octets, "attestation.signature-malformed")
    reader.alg(Alg.ECDSA)
    reader.alg(Alg.SHA256)
    r, s = (int.from_bytes(reader.sized(32), "big") for _ in range(2))
    reader.end()
    return encode_dss_signature(r, s)


class _Reader:
    """Reads fields from `octets`, front to back; a malformed field raises `code`."""

    def __init__(self, octets: bytes, code: ErrorCode) -> None:
        self._octets = bytes(octets)
        self._at = 0
        self._code = code

    def error(self, detail: str) -> BirthmarkError:
        return BirthmarkError(self._code, detail)

    def take(self, count: int) -> bytes:
        end = self._at + count
        if end > len(self._octets):
            raise self.error("it ends too early")
        taken = self._octets[self._at : end]
        self._at = end
        return taken

    def number(self, count: int) -> int:
        return int.from_bytes(self.take(count), "big")

    def sized(self, most: int = _MAX_SIZED) -> bytes:
        count = self.number(2)
        if count > most:
            raise self.error("a field is too long")
        return self.take(count)

    def alg(self, *expected: Alg) -> Alg:
        found = self.number(2)
        for alg in expected:
            if alg == found:
                return alg
        raise self.error(f"unexpected algorithm 0x{found:04x}")

    def symmetric(self) -> Symmetric | None:
        if self.alg(Alg.NULL, Alg.AES) is Alg.NULL:
            return None
        bits = self.number(2)
        if bits not in (128, 192, 256):
            raise self.error("no such AES key size")
        self.alg(Alg.CFB)
        return Symmetric(bits)

    def rsa_key(self) -> rsa.RSAPublicKey:
        """TPMS_RSA_PARMS (12.2.3.5) after its schemes, and TPM2B_PUBLIC_KEY_RSA (11.2.4.5)."""
        bits, exponent = self.number(2), self.number(4)
        modulus = int.from_bytes(self.sized(), "big")
        if bits not in _RSA_BITS or modulus.bit_length() != bits or modulus % 2 == 0:
            raise self.error("the RSA modulus does not have its stated size")
        if exponent not in (0, _DEFAULT_EXPONENT):  # 0 stands for the default
            raise self.error("unusual RSA exponent")
        return rsa.RSAPublicNumbers(_DEFAULT_EXPONENT, modulus).public_key()

    def ecc_key(self) -> ec.EllipticCurvePublicKey:
        """TPMS_ECC_PARMS (12.2.3.6) after its schemes, and TPMS_ECC_POINT (11.2.5.2)."""
        curve = _CURVES.get(self.number(2))
        if curve is None:
            raise self.error("unknown curve")
        self.alg(Alg.NULL)
        width = (curve.key_size + 7) // 8
        x, y = (int.from_bytes(self.sized(width), "big") for _ in range(2))
        try:
            key = ec.EllipticCurvePublicNumbers(x, y, curve).public_key()
        except ValueError:
            raise self.error("the point is not on its curve") from None
        if key.public_numbers() != ec.EllipticCurvePublicNumbers(x, y, curve):  # reduced modulo the field's prime
            raise self.error("the point is not on its curve")
        return key

    def end(self) -> None:
        if self._at != len(self._octets):
            raise self.error("bytes are left over")
