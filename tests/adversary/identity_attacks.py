"""Agents with another's endorsement certificate, request, NUC hash or serial number."""

from __future__ import annotations

import os
from typing import ClassVar

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.utils import Buffer
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from device_agent.tpm import DeviceKey
from shared.protocol.messages import Identity, Proof
from shared.protocol.nuc_encryption import encrypt_nuc_hash
from shared.types import NucHash
from station.attestation.tpm2.structures import read_public
from tests.adversary.dishonest_agent import KNOWN_VENDOR, DishonestAgent, but, refused_with
from tests.harness import soft_device as soft
from tests.harness.vendor_lab import SWTPM, Vendor, one_rdn_each

# --- endorsement key certificates ---


def ek_key(identity: Identity) -> ec.EllipticCurvePublicKey | rsa.RSAPublicKey:
    return read_public(identity.ek_public).key()


@refused_with("attestation.ek-other-key")
class EkCertificateOfAnotherTpm(DishonestAgent):
    def claim(self, honest: Identity) -> Identity:
        return but(honest, ek_certificate=self.tools.other.public_areas().ek_certificate)


@refused_with("attestation.ek-self-signed")
class EkCertificateSignedByItself(DishonestAgent):
    """An endorsement key in software, whose certificate it signs itself and which claims to be a simulator."""

    ek = soft.Key(soft.EK, soft.AES_128, soft.NOTHING, soft.POLICY_A)

    def claim(self, honest: Identity) -> Identity:
        itself = Vendor("Genuine TPM", key=self.ek.private)
        tpm = one_rdn_each(SWTPM)
        certificate = itself.ek(self.ek.private.public_key(), subject=itself.name, tpm=tpm)
        return but(honest, ek_public=self.ek.public, ek_certificate=certificate)


@refused_with("attestation.ek-untrusted")
class EkCertificateOfUnknownRoot(DishonestAgent):
    def claim(self, honest: Identity) -> Identity:
        return but(honest, ek_certificate=Vendor("A Vendor Nobody Knows").ek(ek_key(honest)))


@refused_with("attestation.ek-forged")
class EkCertificateInAKnownName(DishonestAgent):
    """It names a vendor the station knows; another key signed it."""

    def claim(self, honest: Identity) -> Identity:
        return but(honest, ek_certificate=Vendor(KNOWN_VENDOR.name).ek(ek_key(honest)))


@refused_with("attestation.ek-untrusted")
class ChainWithARootOfItsOwn(DishonestAgent):
    """It brings the root of its own vendor as if its chip held it."""

    def claim(self, honest: Identity) -> Identity:
        root = Vendor("A Vendor Nobody Knows")
        issuing = Vendor("Its CA", root)
        return but(honest, ek_certificate=issuing.ek(ek_key(honest)), ek_chain=(issuing.der, root.der))


@refused_with("attestation.ek-not-an-ek")
class CertificateOfAnotherPurpose(DishonestAgent):
    def claim(self, honest: Identity) -> Identity:
        return but(honest, ek_certificate=KNOWN_VENDOR.ek(ek_key(honest), extended=(ExtendedKeyUsageOID.SERVER_AUTH,)))


@refused_with("attestation.ek-missing")
class NoEkCertificate(DishonestAgent):
    def claim(self, honest: Identity) -> Identity:
        return but(honest, ek_certificate=b"")


@refused_with("attestation.ek-malformed")
class GarbledEkCertificate(DishonestAgent):
    def claim(self, honest: Identity) -> Identity:
        return but(honest, ek_certificate=honest.ek_certificate[:-40])


# --- certificate requests ---


def request(key: ec.EllipticCurvePrivateKey, serial: str, *, authority: bool = False) -> bytes:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, serial)])
    builder = x509.CertificateSigningRequestBuilder().subject_name(name)
    if authority:
        builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
    return builder.sign(key, hashes.SHA256()).public_bytes(Encoding.DER)


@refused_with("csr.other-key")
class RequestForAnotherKey(DishonestAgent):
    """A valid request, signed by a key that could be copied."""

    def testify(self, honest: Proof, after: bytes) -> Proof:
        return but(honest, csr=request(soft.new_key(), self._context.board.serial))


@refused_with("csr.weak-key")
class RequestForAWeakCurve(DishonestAgent):
    def testify(self, honest: Proof, after: bytes) -> Proof:
        return but(honest, csr=request(ec.generate_private_key(ec.SECP224R1()), self._context.board.serial))


@refused_with("csr.bad-signature")
class RequestSignedByAnotherKey(DishonestAgent):
    """A request with the genuine device key and another key's signature."""

    def testify(self, honest: Proof, after: bytes) -> Proof:
        class Mask(DeviceKey):
            def sign(self, data: Buffer, signature_algorithm: ec.EllipticCurveSignatureAlgorithm) -> bytes:
                return soft.new_key().sign(data, signature_algorithm)

        return but(honest, csr=request(Mask(self._tpm.sign, self._tpm.device_public_key()), self._context.board.serial))


@refused_with("csr.subject-differs")
class RequestForAnotherUnit(DishonestAgent):
    def testify(self, honest: Proof, after: bytes) -> Proof:
        return but(honest, csr=request(self._tpm.device_key(), "10000000ffffffff"))


@refused_with("csr.asks-too-much")
class RequestToBeAnAuthority(DishonestAgent):
    def testify(self, honest: Proof, after: bytes) -> Proof:
        return but(honest, csr=request(self._tpm.device_key(), self._context.board.serial, authority=True))


@refused_with("csr.malformed")
class RequestWithATail(DishonestAgent):
    def testify(self, honest: Proof, after: bytes) -> Proof:
        return but(honest, csr=honest.csr + b"\0")


# --- NUC hashes and certificates ---


class UncheckedNucHash(NucHash):
    """Holds what a `NucHash` would not."""

    def __init__(self, value: bytes) -> None:
        self._value = value


class _Sealing(DishonestAgent):
    value: ClassVar[bytes] = b""

    def testify(self, honest: Proof, after: bytes) -> Proof:
        return but(honest, nuc_hash=encrypt_nuc_hash(UncheckedNucHash(self.value), self.body.hpke_key, after))


@refused_with("nuc.hash-malformed")
class ShortNucHash(_Sealing):
    value = bytes(range(31))


@refused_with("nuc.hash-malformed")
class LongNucHash(_Sealing):
    value = bytes(range(33))


@refused_with("nuc.hash-zeros")
class ZeroNucHash(_Sealing):
    value = bytes(32)


@refused_with("nuc.not-sealed-here")
class NucHashOfAnotherSession(DishonestAgent):
    """The encrypted NUC hash as recorded from the cable."""

    def testify(self, honest: Proof, after: bytes) -> Proof:
        return but(honest, nuc_hash=self.tools.earlier.nuc_hash)


@refused_with("identity.unknown-certificate")
class CertificateWeDidNotIssue(DishonestAgent):
    def claim(self, honest: Identity) -> Identity:
        return but(honest, certificate=os.urandom(32))


# --- serial numbers ---


class _Named(DishonestAgent):
    serial: ClassVar[str] = ""

    def claim(self, honest: Identity) -> Identity:
        return but(honest, serial=self.serial)


for _name, _serial in {
    "SerialWithMarkup": "<script>alert(1)</script>",
    "SerialWithNewline": "1000\n2026-11-24 unit 2000 issued",
    "SerialWithEscapes": "1000\x1b[2J\x00",
    "SerialOfAnotherScript": "1000000а0000001",  # a Cyrillic letter
    "SerialWithDirectionChange": "1000\u202e0001",
    "SerialThatIsAPath": "../../etc/passwd",
    "SerialThatIsAnOption": "--force",
    "SerialOfSixtyFive": "1" * 65,
    "NoSerial": "",
}.items():
    refused_with("identity.serial-invalid")(type(_name, (_Named,), {"serial": _serial}))


@refused_with("message.field-invalid")
class SerialOfTenKilobytes(_Named):
    serial = "1" * 10_240
