"""The templates of our keys (TPM 2.0 Part 2, 12.2). The library brings TCG's EK templates.

AK and device key are primaries of the endorsement hierarchy: the TPM makes the same key again from its template, so no
blob can be lost, and clearing the owner hierarchy changes neither. noDA is set because a camera often loses power, and
each loss would count towards the TPM's lockout (docs/decisions/0001-keys-in-the-tpm.md).
"""

from __future__ import annotations

from tpm2_pytss import (
    TPM2_ALG,
    TPM2_ECC,
    TPM2B_PUBLIC,
    TPMA_OBJECT,
    TPMS_ECC_PARMS,
    TPMS_ECC_POINT,
    TPMS_KEYEDHASH_PARMS,
    TPMT_ECC_SCHEME,
    TPMT_KDF_SCHEME,
    TPMT_KEYEDHASH_SCHEME,
    TPMT_PUBLIC,
    TPMT_SYM_DEF_OBJECT,
    TPMU_PUBLIC_ID,
    TPMU_PUBLIC_PARMS,
    TPMU_SYM_KEY_BITS,
    TPMU_SYM_MODE,
)

EK_TEMPLATES = {
    "L-2": "EK-ECC256",
    "H-2": "EK-HIGH-ECC256",
    "H-3": "EK-HIGH-ECC384",
    "L-1": "EK-RSA2048",
    "H-1": "EK-HIGH-RSA2048",
    "H-6": "EK-HIGH-RSA3072",
}
"""TCG's name (EK Credential Profile 2.5) → the library's, in order of preference: an ECC key is made much faster."""

EK_WITHOUT_CERTIFICATE = "L-2"
"""Used where no template has a certificate; the station's policy decides whether it accepts that."""

_FIXED = (
    TPMA_OBJECT.FIXEDTPM
    | TPMA_OBJECT.FIXEDPARENT
    | TPMA_OBJECT.SENSITIVEDATAORIGIN
    | TPMA_OBJECT.USERWITHAUTH
    | TPMA_OBJECT.NODA
)


def attestation_key() -> TPM2B_PUBLIC:
    """The template of the AK. Restricted: it signs only statements that the TPM itself makes."""
    return _signing_key(b"birthmark attestation key", _FIXED | TPMA_OBJECT.RESTRICTED | TPMA_OBJECT.SIGN_ENCRYPT)


def device_key() -> TPM2B_PUBLIC:
    """The template of the device key. Unrestricted: it signs any digest."""
    return _signing_key(b"birthmark device key", _FIXED | TPMA_OBJECT.SIGN_ENCRYPT)


def storage_key() -> TPM2B_PUBLIC:
    """The parent of table keys and sealed secrets: ECC P-256 with AES-128-CFB, the TCG SRK with noDA."""
    aes = TPMT_SYM_DEF_OBJECT(
        algorithm=TPM2_ALG.AES, keyBits=TPMU_SYM_KEY_BITS(aes=128), mode=TPMU_SYM_MODE(aes=TPM2_ALG.CFB)
    )
    parameters = TPMS_ECC_PARMS(
        symmetric=aes,
        scheme=TPMT_ECC_SCHEME(scheme=TPM2_ALG.NULL),
        curveID=TPM2_ECC.NIST_P256,
        kdf=TPMT_KDF_SCHEME(scheme=TPM2_ALG.NULL),
    )
    return _ecc_public(_FIXED | TPMA_OBJECT.RESTRICTED | TPMA_OBJECT.DECRYPT, parameters, b"")


def sealed_data() -> TPM2B_PUBLIC:
    """A keyed-hash object that holds data, neither signs nor decrypts, and never leaves its parent."""
    attributes = TPMA_OBJECT.FIXEDTPM | TPMA_OBJECT.FIXEDPARENT | TPMA_OBJECT.USERWITHAUTH | TPMA_OBJECT.NODA
    return TPM2B_PUBLIC(
        publicArea=TPMT_PUBLIC(
            type=TPM2_ALG.KEYEDHASH,
            nameAlg=TPM2_ALG.SHA256,
            objectAttributes=attributes,
            parameters=TPMU_PUBLIC_PARMS(
                keyedHashDetail=TPMS_KEYEDHASH_PARMS(scheme=TPMT_KEYEDHASH_SCHEME(scheme=TPM2_ALG.NULL))
            ),
        )
    )


def _signing_key(label: bytes, attributes: TPMA_OBJECT) -> TPM2B_PUBLIC:
    scheme = TPMT_ECC_SCHEME(scheme=TPM2_ALG.ECDSA)
    scheme.details.ecdsa.hashAlg = TPM2_ALG.SHA256
    parameters = TPMS_ECC_PARMS(
        symmetric=TPMT_SYM_DEF_OBJECT(algorithm=TPM2_ALG.NULL),
        scheme=scheme,
        curveID=TPM2_ECC.NIST_P256,
        kdf=TPMT_KDF_SCHEME(scheme=TPM2_ALG.NULL),
    )
    return _ecc_public(attributes, parameters, label)


def _ecc_public(attributes: TPMA_OBJECT, parameters: TPMS_ECC_PARMS, label: bytes) -> TPM2B_PUBLIC:
    return TPM2B_PUBLIC(
        publicArea=TPMT_PUBLIC(
            type=TPM2_ALG.ECC,
            nameAlg=TPM2_ALG.SHA256,
            objectAttributes=attributes,
            parameters=TPMU_PUBLIC_PARMS(eccDetail=parameters),
            unique=TPMU_PUBLIC_ID(ecc=TPMS_ECC_POINT(x=label, y=b"")),
        )
    )
