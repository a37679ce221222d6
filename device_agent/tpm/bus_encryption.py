"""Encrypts secrets on the bus between the Pi and its TPM (TPM 2.0 Part 1, 19.6.4 and 21: salted sessions).

The session's key comes from a salt that only the endorsement key opens, so who only listens learns nothing. A session
encrypts the first parameter of a command and of its answer, and no other.
"""

from __future__ import annotations

from enum import Enum
from typing import Final

from tpm2_pytss import (
    ESAPI,
    ESYS_TR,
    TPM2_ALG,
    TPM2_SE,
    TPMA_SESSION,
    TPMT_SYM_DEF,
    TPMU_SYM_KEY_BITS,
    TPMU_SYM_MODE,
)

_AES_128_CFB: Final = TPMT_SYM_DEF(
    algorithm=TPM2_ALG.AES, keyBits=TPMU_SYM_KEY_BITS(aes=128), mode=TPMU_SYM_MODE(aes=TPM2_ALG.CFB)
)


class Encrypted(Enum):
    """What is encrypted: the command's first parameter (the TPM decrypts it), the answer's, or both."""

    COMMAND = TPMA_SESSION.DECRYPT
    ANSWER = TPMA_SESSION.ENCRYPT
    BOTH = TPMA_SESSION.DECRYPT | TPMA_SESSION.ENCRYPT


def start_session(esapi: ESAPI, endorsement_key: ESYS_TR) -> ESYS_TR:
    """Start a session that is salted to the endorsement key; that needs none of the key's policy."""
    return esapi.start_auth_session(endorsement_key, ESYS_TR.NONE, TPM2_SE.HMAC, _AES_128_CFB, TPM2_ALG.SHA256)


def encrypt(esapi: ESAPI, session: ESYS_TR, encrypted: Encrypted) -> None:
    """Say what `session` encrypts in the next command, after which it can be used again."""
    esapi.trsess_set_attributes(session, encrypted.value | TPMA_SESSION.CONTINUESESSION)
