"""An honest device passes; each false statement, one small change to the honest one, has its own code."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import replace

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import NameOID

from shared.errors import BirthmarkError
from shared.protocol.messages import Proof
from shared.types import board_serial
from station.attestation.evidence import Claims, Proven, examine_identity, examine_import, examine_proof
from station.attestation.tpm2.structures import Attributes
from tests.harness.soft_device import (
    AES_128,
    AK,
    DEVICE,
    EK,
    NOTHING,
    POLICY_A,
    SECRET,
    SERIAL,
    SRK,
    TRANSCRIPT,
    Device,
    Key,
    certify,
    csr,
    sign,
)

HONEST = Device()
OTHER_SESSION = hashlib.sha256(b"another session").digest()


def identity_refused(device: Device) -> str:
    with pytest.raises(BirthmarkError) as caught:
        examine_identity(device.identity())
    return caught.value.code


def examined(device: Device, proof: Proof) -> Proven:
    return examine_proof(examine_identity(device.identity()), proof, TRANSCRIPT, SECRET, board_serial(SERIAL))


def proof_refused(proof: Proof, device: Device = HONEST) -> str:
    with pytest.raises(BirthmarkError) as caught:
        examined(device, proof)
    return caught.value.code


# --- honest ---


def test_an_honest_device_passes_and_its_firmware_is_known() -> None:
    assert examined(HONEST, HONEST.proof()) == Proven(firmware="7.85.4555.0")


def test_claims_name_the_keys_by_the_digest_of_their_spki() -> None:
    claims = examine_identity(HONEST.identity())
    for mine, key in ((claims.ek_fingerprint, HONEST.ek), (claims.device_fingerprint, HONEST.device)):
        spki = key.private.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        assert mine == hashlib.sha256(spki).digest()
    assert claims.device_key == HONEST.device.private.public_key()


# --- what is claimed ---


@pytest.mark.parametrize(
    ("changed", "code"),
    [
        ({"ak": Key(AK & ~Attributes.RESTRICTED)}, "attestation.ak-not-restricted"),
        ({"ak": Key(AK & ~Attributes.FIXED_TPM)}, "attestation.ak-not-fixed"),
        ({"ak": Key(AK & ~Attributes.FIXED_PARENT)}, "attestation.ak-not-fixed"),
        ({"ak": Key(AK & ~Attributes.SENSITIVE_DATA_ORIGIN)}, "attestation.ak-not-fixed"),
        ({"ak": Key(AK | Attributes.DECRYPT)}, "attestation.ak-wrong-kind"),
        ({"ak": Key(AK | Attributes.X509_SIGN)}, "attestation.ak-wrong-kind"),
        ({"ak": Key(AK & ~Attributes.SIGN)}, "attestation.ak-wrong-kind"),
        ({"ak": Key(AK, scheme=NOTHING)}, "attestation.ak-wrong-kind"),
        ({"ak": Key(AK, scheme=bytes.fromhex("0018000c"))}, "attestation.ak-wrong-kind"),
        ({"ak": Key(AK, symmetric=AES_128)}, "attestation.ak-wrong-kind"),
        ({"device": Key(DEVICE & ~Attributes.FIXED_TPM)}, "attestation.device-key-not-fixed"),
        ({"device": Key(DEVICE & ~Attributes.FIXED_PARENT)}, "attestation.device-key-not-fixed"),
        ({"device": Key(DEVICE & ~Attributes.SENSITIVE_DATA_ORIGIN)}, "attestation.device-key-not-fixed"),
        ({"device": Key(DEVICE | Attributes.RESTRICTED)}, "attestation.device-key-wrong-kind"),
        ({"device": Key(DEVICE | Attributes.DECRYPT)}, "attestation.device-key-wrong-kind"),
        ({"device": Key(DEVICE & ~Attributes.SIGN)}, "attestation.device-key-wrong-kind"),
        ({"device": Key(DEVICE, scheme=NOTHING)}, "attestation.device-key-wrong-kind"),
        ({"device": Key(DEVICE, scheme=bytes.fromhex("0018000c"))}, "attestation.device-key-wrong-kind"),
        ({"device": Key(DEVICE, symmetric=AES_128)}, "attestation.device-key-wrong-kind"),
        ({"srk": Key(SRK & ~Attributes.FIXED_TPM, AES_128, NOTHING)}, "attestation.srk-not-fixed"),
        ({"srk": Key(SRK & ~Attributes.FIXED_PARENT, AES_128, NOTHING)}, "attestation.srk-not-fixed"),
        ({"srk": Key(SRK & ~Attributes.SENSITIVE_DATA_ORIGIN, AES_128, NOTHING)}, "attestation.srk-not-fixed"),
        ({"srk": Key(SRK & ~Attributes.RESTRICTED, AES_128, NOTHING)}, "attestation.srk-wrong-kind"),
        ({"srk": Key(SRK & ~Attributes.DECRYPT, AES_128, NOTHING)}, "attestation.srk-wrong-kind"),
        ({"srk": Key(SRK | Attributes.SIGN, AES_128, NOTHING)}, "attestation.srk-wrong-kind"),
        ({"srk": Key(SRK, NOTHING, NOTHING)}, "attestation.srk-wrong-kind"),
        ({"srk": Key(SRK, bytes.fromhex("000601000043"), NOTHING)}, "attestation.srk-wrong-kind"),
        ({"srk": Key(SRK, AES_128)}, "attestation.srk-wrong-kind"),
        ({"ek": Key(EK & ~Attributes.RESTRICTED, AES_128, NOTHING, POLICY_A)}, "attestation.ek-no-template"),
        ({"ek": Key(EK & ~Attributes.DECRYPT, AES_128, NOTHING, POLICY_A)}, "attestation.ek-no-template"),
        ({"ek": Key(EK | Attributes.SIGN, AES_128, NOTHING, POLICY_A)}, "attestation.ek-no-template"),
        ({"ek": Key(EK | Attributes.USER_WITH_AUTH, AES_128, NOTHING, POLICY_A)}, "attestation.ek-no-template"),
        ({"ek": Key(EK, AES_128, NOTHING)}, "attestation.ek-no-template"),
        ({"ek": Key(EK, NOTHING, NOTHING, POLICY_A)}, "attestation.ek-no-template"),
        ({"device": Key(DEVICE | 1)}, "attestation.public-malformed"),
        ({"device": Key(DEVICE, curve=bytes.fromhex("0004"))}, "attestation.public-malformed"),
        ({"device": Key(DEVICE, policy=b"short")}, "attestation.public-malformed"),
    ],
)
def test_a_key_with_other_attributes_is_refused_by_name(changed: dict[str, Key], code: str) -> None:
    assert identity_refused(HONEST.but(**changed)) == code


ACCEPTED = {
    "ak": (HONEST.ak, "attestation.ak-"),
    "device": (HONEST.device, "attestation.device-key-"),
    "srk": (HONEST.srk, "attestation.srk-"),
    "ek": (HONEST.ek, "attestation.ek-no-template"),
}


@pytest.mark.parametrize("attribute", Attributes, ids=lambda attribute: str(attribute.name))
@pytest.mark.parametrize("which", ACCEPTED)
def test_a_key_with_one_attribute_more_or_less_is_refused_by_name(which: str, attribute: Attributes) -> None:
    """Each of the four keys has exactly its template's attributes, of all that a TPM knows."""
    key, code = ACCEPTED[which]
    changed = replace(key, attributes=key.attributes ^ attribute)
    assert identity_refused(HONEST.but(**{which: changed})).startswith(code)


@pytest.mark.parametrize("which", ["ak", "device", "srk"])
def test_a_key_with_a_policy_is_refused(which: str) -> None:
    """A policy is another way to use a key than its password."""
    key, code = ACCEPTED[which]
    for policy in (POLICY_A, bytes(32)):
        assert identity_refused(HONEST.but(**{which: replace(key, policy=policy)})) == f"{code}wrong-kind"


@pytest.mark.parametrize("which", ["ak", "device", "srk"])
def test_a_key_whose_name_has_another_hash_is_refused(which: str) -> None:
    key, code = ACCEPTED[which]
    assert identity_refused(HONEST.but(**{which: replace(key, name_alg=bytes.fromhex("000c"))})) == f"{code}wrong-kind"


def test_the_refusal_of_a_key_says_what_is_unlike() -> None:
    other = Key(AK & ~Attributes.NO_DA | Attributes.ENCRYPTED_DUPLICATION, policy=POLICY_A)
    with pytest.raises(BirthmarkError) as caught:
        examine_identity(HONEST.but(ak=other).identity())
    assert caught.value.detail == (
        "it has a policy; attributes that it must not have: encrypted duplication; attributes that it lacks: no da"
    )


@pytest.mark.attack("a TPM shows keys with a policy, or with attributes that ours do not have")
def test_only_keys_of_exactly_the_templates_pass(got: Callable[[str], None]) -> None:
    refused = set()
    tried = 0
    for which in ("ak", "device", "srk"):
        key, _ = ACCEPTED[which]
        others = [replace(key, attributes=key.attributes ^ attribute) for attribute in Attributes]
        for other in (*others, replace(key, policy=POLICY_A), replace(key, name_alg=bytes.fromhex("000c"))):
            refused.add(identity_refused(HONEST.but(**{which: other})))
            tried += 1
    examined(HONEST, HONEST.proof())
    got(f"nothing: {tried} of {tried} refused [{', '.join(sorted(refused))}]")


def test_keys_of_another_curve_are_refused() -> None:
    p384 = {"private": ec.generate_private_key(ec.SECP384R1()), "curve": bytes.fromhex("0004")}
    assert identity_refused(HONEST.but(ak=Key(AK, **p384))) == "attestation.ak-wrong-kind"  # type: ignore[arg-type]
    assert identity_refused(HONEST.but(device=Key(DEVICE, **p384))) == "attestation.device-key-wrong-kind"  # type: ignore[arg-type]
    assert identity_refused(HONEST.but(srk=Key(SRK, AES_128, NOTHING, **p384))) == "attestation.srk-wrong-kind"  # type: ignore[arg-type]


# --- what is proven ---


def test_a_secret_that_another_tpm_solved_is_wrong() -> None:
    for wrong in (bytes(32), SECRET[:-1] + bytes([SECRET[-1] ^ 1])):
        assert proof_refused(HONEST.proof(secret=wrong)) == "attestation.secret-wrong"


@pytest.mark.parametrize("which", ["device", "srk"])
def test_a_statement_of_another_session_key_or_ak_is_refused(which: str) -> None:
    def with_statement(attest: bytes, signature: bytes) -> str:
        return proof_refused(HONEST.proof(**{f"{which}_attest": attest, f"{which}_signature": signature}))

    name = getattr(HONEST, which).name
    other = Device()
    assert with_statement(*certify(name, HONEST.ak, OTHER_SESSION)) == "attestation.certify-other-session"
    assert with_statement(*certify(name, HONEST.ak, TRANSCRIPT[:-1])) == "attestation.certify-other-session"
    assert with_statement(*certify(name, HONEST.ak, b"")) == "attestation.certify-other-session"
    assert with_statement(*certify(name, HONEST.ak, TRANSCRIPT + b"\0")) == "attestation.certify-other-session"
    assert with_statement(*certify(other.device.name, HONEST.ak)) == "attestation.certify-other-key"
    assert with_statement(*certify(name[:-1], HONEST.ak)) == "attestation.certify-other-key"
    assert with_statement(*certify(name, other.ak)) == "attestation.certify-other-ak"
    assert with_statement(*certify(name, HONEST.device)) == "attestation.certify-other-ak"


@pytest.mark.parametrize("which", ["device", "srk"])
def test_a_name_with_another_hash_of_the_same_key_is_another_name(which: str) -> None:
    """A case of keylime's test_tpm_verify_aik_with_iak, by idea: there, a name may have any hash."""
    public = getattr(HONEST, which).public
    for name in (bytes.fromhex("000c") + hashlib.sha384(public).digest(), hashlib.sha256(public).digest()):
        attest, signature = certify(name, HONEST.ak)
        proof = HONEST.proof(**{f"{which}_attest": attest, f"{which}_signature": signature})
        assert proof_refused(proof) == "attestation.certify-other-key"


@pytest.mark.parametrize("field", ["secret", "device_attest", "device_signature", "srk_attest", "srk_signature", "csr"])
def test_a_proof_with_an_empty_part_is_refused(field: str) -> None:
    """A case of step-ca's device-attest-01, by idea: each part of its statement is left empty in turn."""
    assert proof_refused(HONEST.proof(**{field: b""})).startswith(("attestation.", "csr."))


def test_the_two_statements_cannot_stand_for_each_other() -> None:
    proof = HONEST.proof()
    swapped = HONEST.proof(
        device_attest=proof.srk_attest,
        device_signature=proof.srk_signature,
        srk_attest=proof.device_attest,
        srk_signature=proof.device_signature,
    )
    assert proof_refused(swapped) == "attestation.certify-other-key"


def test_an_imported_key_that_claims_to_be_born_here_is_another_key() -> None:
    """A genuine AK certifies an imported key, but under its true attributes, so under another name."""
    true = Key(DEVICE & ~(Attributes.FIXED_TPM | Attributes.FIXED_PARENT))
    lying = HONEST.but(device=replace(true, attributes=DEVICE))
    attest, signature = certify(true.name, HONEST.ak)
    proof = lying.proof(device_attest=attest, device_signature=signature)
    assert proof_refused(proof, lying) == "attestation.certify-other-key"


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"magic": b"ABCD"}, "attestation.attest-malformed"),
        ({"type": bytes.fromhex("8018")}, "attestation.not-a-certify"),
        ({"type": bytes.fromhex("8014")}, "attestation.not-a-certify"),
        ({"type": bytes.fromhex("8015")}, "attestation.not-a-certify"),
        ({"type": bytes.fromhex("8016")}, "attestation.not-a-certify"),
        ({"type": bytes.fromhex("8019")}, "attestation.not-a-certify"),
        ({"type": bytes.fromhex("801a")}, "attestation.not-a-certify"),
        ({"type": bytes.fromhex("801c")}, "attestation.not-a-certify"),
        ({"clock": bytes(16) + b"\x02"}, "attestation.attest-malformed"),
        ({"qualified": b""}, "attestation.attest-malformed"),
        ({"qualified": bytes.fromhex("00000000")}, "attestation.attest-malformed"),
        ({"extra": bytes.fromhex("ffff")}, "attestation.attest-malformed"),
    ],
)
def test_a_statement_that_is_no_statement_is_refused_although_the_ak_signed_it(
    change: dict[str, bytes], code: str
) -> None:
    attest, signature = certify(HONEST.device.name, HONEST.ak, **change)
    assert proof_refused(HONEST.proof(device_attest=attest, device_signature=signature)) == code


@pytest.mark.parametrize(
    "change",
    [
        lambda s: s[:-1],
        lambda s: s + b"\0",
        lambda s: b"",
        lambda s: bytes.fromhex("0014000b") + s[4:],
        lambda s: bytes.fromhex("0018000c") + s[4:],
        lambda s: s[:4] + bytes.fromhex("0021") + b"\0" + s[6:],
    ],
)
def test_a_malformed_signature_is_refused(change: object) -> None:
    proof = HONEST.proof()
    assert callable(change)
    assert proof_refused(HONEST.proof(device_signature=change(proof.device_signature))) == (
        "attestation.signature-malformed"
    )


def test_a_zero_signature_is_nobodys() -> None:
    zero = bytes.fromhex("0018000b00000000")
    assert proof_refused(HONEST.proof(device_signature=zero)) == "attestation.certify-other-ak"


# --- the request ---


def last_bit_flipped(octets: bytes) -> bytes:
    return octets[:-1] + bytes([octets[-1] ^ 1])


def der(
    builder: x509.CertificateSigningRequestBuilder, key: object = HONEST.device.private, hash_: object = None
) -> bytes:
    chosen = hash_ or hashes.SHA256()
    return builder.sign(key, chosen).public_bytes(Encoding.DER)  # type: ignore[arg-type]


def builder(name: str = SERIAL) -> x509.CertificateSigningRequestBuilder:
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    return x509.CertificateSigningRequestBuilder().subject_name(subject)


def test_a_request_that_also_gives_the_serial_as_serial_number_is_good() -> None:
    names = ((NameOID.COMMON_NAME, SERIAL), (NameOID.SERIAL_NUMBER, SERIAL))
    examined(HONEST, HONEST.proof(csr=csr(HONEST.device.private, names)))


@pytest.mark.parametrize(
    ("request_", "code"),
    [
        (csr(ec.generate_private_key(ec.SECP256R1())), "csr.other-key"),
        (der(builder(), ec.generate_private_key(ec.SECP384R1())), "csr.weak-key"),
        (der(builder(), ec.generate_private_key(ec.SECP224R1())), "csr.weak-key"),
        (der(builder(), rsa.generate_private_key(65537, 2048)), "csr.weak-key"),
        (builder().sign(ed25519.Ed25519PrivateKey.generate(), None).public_bytes(Encoding.DER), "csr.weak-key"),
        (der(builder(), hash_=hashes.SHA384()), "csr.weak-signature"),
        (last_bit_flipped(csr(HONEST.device.private)), "csr.bad-signature"),
        (csr(HONEST.device.private) + b"\0", "csr.malformed"),
        (csr(HONEST.device.private)[:-1], "csr.malformed"),
        (b"\x30\x00", "csr.malformed"),
        (b"\0" * 5000, "csr.malformed"),
        (csr(HONEST.device.private, ((NameOID.COMMON_NAME, "somebody"),)), "csr.subject-differs"),
        (csr(HONEST.device.private, ()), "csr.subject-differs"),
        (csr(HONEST.device.private, ((NameOID.SERIAL_NUMBER, SERIAL),)), "csr.subject-differs"),
        (
            csr(HONEST.device.private, ((NameOID.COMMON_NAME, SERIAL), (NameOID.SERIAL_NUMBER, "other"))),
            "csr.subject-differs",
        ),
        (
            csr(HONEST.device.private, ((NameOID.COMMON_NAME, SERIAL), (NameOID.COMMON_NAME, SERIAL))),
            "csr.subject-differs",
        ),
        (
            csr(HONEST.device.private, ((NameOID.COMMON_NAME, SERIAL), (NameOID.ORGANIZATION_NAME, "Canon"))),
            "csr.subject-differs",
        ),
        (der(builder().add_extension(x509.BasicConstraints(True, None), True)), "csr.asks-too-much"),
        (der(builder().add_extension(x509.SubjectAlternativeName([x509.DNSName("a")]), False)), "csr.asks-too-much"),
        (der(builder().add_attribute(x509.oid.AttributeOID.CHALLENGE_PASSWORD, b"x")), "csr.asks-too-much"),
    ],
)
def test_a_request_that_is_not_plainly_for_this_unit_is_refused(request_: bytes, code: str) -> None:
    assert proof_refused(HONEST.proof(csr=request_)) == code


def test_a_request_signed_by_another_key_than_it_shows_is_refused() -> None:
    mine, other = csr(HONEST.device.private), csr(Key(DEVICE).private)
    spki = [
        k.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        for k in (HONEST.device.private, x509.load_der_x509_csr(other))
    ]
    assert proof_refused(HONEST.proof(csr=other.replace(spki[1], spki[0]))) == "csr.bad-signature"
    assert mine != other


# --- imports ---


def claims() -> Claims:
    return examine_identity(HONEST.identity())


NAME = bytes.fromhex("000b") + hashlib.sha256(b"a table's key").digest()


def test_an_import_that_the_ak_certifies_in_this_session_passes() -> None:
    examine_import(claims(), HONEST.imported(NAME), NAME, TRANSCRIPT)


@pytest.mark.parametrize(
    ("table", "code"),
    [
        (HONEST.imported(last_bit_flipped(NAME)), "attestation.table-not-imported"),
        (HONEST.imported(HONEST.device.name), "attestation.table-not-imported"),
        (HONEST.imported(b""), "attestation.table-not-imported"),
        (HONEST.imported(NAME, OTHER_SESSION), "attestation.certify-other-session"),
        (Device().imported(NAME), "attestation.certify-other-ak"),
    ],
)
def test_an_import_that_did_not_happen_is_refused(table: object, code: str) -> None:
    with pytest.raises(BirthmarkError) as caught:
        examine_import(claims(), table, NAME, TRANSCRIPT)  # type: ignore[arg-type]
    assert caught.value.code == code


def test_a_signature_over_other_bytes_than_the_statement_shown_is_refused() -> None:
    attest, _ = certify(HONEST.device.name, HONEST.ak)
    _, signature = certify(HONEST.device.name, HONEST.ak, OTHER_SESSION)
    assert proof_refused(HONEST.proof(device_attest=attest, device_signature=signature)) == (
        "attestation.certify-other-ak"
    )
    assert sign(attest, HONEST.ak) != signature
