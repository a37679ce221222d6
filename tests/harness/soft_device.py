"""A device in software that makes and signs any statement, honest or false."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field, replace

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from shared.protocol.messages import VERSION, Identity, Proof, TableImport
from station.attestation.tpm2.structures import Attributes, sized

SERIAL = "10000000abcdef01"
TRANSCRIPT = hashlib.sha256(b"this session").digest()
SECRET = hashlib.sha256(b"this session's secret").digest()
POLICY_A = bytes.fromhex("837197674484b3f81a90cc8d46a5d724fd52d76e06520b64f2a1da1b331469aa")

BORN_HERE = Attributes.FIXED_TPM | Attributes.FIXED_PARENT | Attributes.SENSITIVE_DATA_ORIGIN
USUAL = BORN_HERE | Attributes.USER_WITH_AUTH | Attributes.NO_DA
EK = BORN_HERE | Attributes.ADMIN_WITH_POLICY | Attributes.RESTRICTED | Attributes.DECRYPT
AK = USUAL | Attributes.RESTRICTED | Attributes.SIGN
SRK = USUAL | Attributes.RESTRICTED | Attributes.DECRYPT
DEVICE = USUAL | Attributes.SIGN

AES_128 = bytes.fromhex("000600800043")
NOTHING = bytes.fromhex("0010")
ECDSA_SHA256 = bytes.fromhex("0018000b")


_EMPTY = Proof(
    secret=b"", device_attest=b"", device_signature=b"", srk_attest=b"", srk_signature=b"", csr=b"", nuc_hash=b""
)


def new_key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


@dataclass(frozen=True)
class Key:
    """A key and the properties claimed for it."""

    attributes: int
    symmetric: bytes = NOTHING
    scheme: bytes = ECDSA_SHA256
    policy: bytes = b""
    private: ec.EllipticCurvePrivateKey = field(default_factory=new_key)
    curve: bytes = bytes.fromhex("0003")
    name_alg: bytes = bytes.fromhex("000b")

    @property
    def public(self) -> bytes:
        """Return the TPMT_PUBLIC, marshalled."""
        width = (self.private.curve.key_size + 7) // 8
        point = self.private.public_key().public_numbers()
        x, y = (sized(coordinate.to_bytes(width, "big")) for coordinate in (point.x, point.y))
        head = bytes.fromhex("0023") + self.name_alg + self.attributes.to_bytes(4, "big") + sized(self.policy)
        return head + self.symmetric + self.scheme + self.curve + NOTHING + x + y

    @property
    def name(self) -> bytes:
        return bytes.fromhex("000b") + hashlib.sha256(self.public).digest()


def certify(name: bytes, ak: Key, qualifying: bytes = TRANSCRIPT, **change: bytes) -> tuple[bytes, bytes]:
    """Return TPMS_ATTEST and TPMT_SIGNATURE as TPM2_Certify makes them, or with the parts in `change`."""
    parts = {
        "magic": bytes.fromhex("ff544347"),
        "type": bytes.fromhex("8017"),
        "signer": sized(ak.name),
        "extra": sized(qualifying),
        "clock": bytes(16) + b"\x01",
        "firmware": bytes.fromhex("0007005511cb0000"),
        "name": sized(name),
        "qualified": sized(name),
    } | change
    attest = b"".join(parts.values())
    return attest, sign(attest, ak)


def sign(attest: bytes, ak: Key) -> bytes:
    r, s = decode_dss_signature(ak.private.sign(attest, ec.ECDSA(hashes.SHA256())))
    return ECDSA_SHA256 + sized(r.to_bytes(32, "big")) + sized(s.to_bytes(32, "big"))


def csr(
    private: ec.EllipticCurvePrivateKey,
    names: tuple[tuple[x509.ObjectIdentifier, str], ...] = ((NameOID.COMMON_NAME, SERIAL),),
) -> bytes:
    subject = x509.Name([x509.NameAttribute(oid, text) for oid, text in names])
    builder = x509.CertificateSigningRequestBuilder().subject_name(subject)
    return builder.sign(private, hashes.SHA256()).public_bytes(Encoding.DER)


@dataclass(frozen=True)
class Device:
    """An honest device; `but` replaces its keys."""

    ek: Key = field(default_factory=lambda: Key(EK, AES_128, NOTHING, POLICY_A))
    ak: Key = field(default_factory=lambda: Key(AK))
    srk: Key = field(default_factory=lambda: Key(SRK, AES_128, NOTHING))
    device: Key = field(default_factory=lambda: Key(DEVICE))

    def but(self, **keys: Key) -> Device:
        return replace(self, **keys)

    def identity(self) -> Identity:
        return Identity(
            version=VERSION,
            hello=bytes(32),
            nonce=bytes(32),
            agent="test",
            model="test",
            serial=SERIAL,
            ek_public=self.ek.public,
            ak_public=self.ak.public,
            srk_public=self.srk.public,
            device_public=self.device.public,
        )

    def proof(self, **change: bytes) -> Proof:
        device_attest, device_signature = certify(self.device.name, self.ak)
        srk_attest, srk_signature = certify(self.srk.name, self.ak)
        parts = {
            "secret": SECRET,
            "device_attest": device_attest,
            "device_signature": device_signature,
            "srk_attest": srk_attest,
            "srk_signature": srk_signature,
            "csr": csr(self.device.private),
            "nuc_hash": b"sealed",
        } | change
        return msgspec.structs.replace(_EMPTY, **parts)

    def imported(self, name: bytes, qualifying: bytes = TRANSCRIPT) -> TableImport:
        attest, signature = certify(name, self.ak, qualifying)
        return TableImport(table_id=7, attest=attest, signature=signature)
