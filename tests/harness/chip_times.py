"""How long an Infineon SLB 9670 takes for a command.

What was measured is published by wolfTPM (its README: "SLB9670 at 43MHz"). Nobody publishes the commands that use no
asymmetric key, such as Load or NV_Read; they are taken for 50 ms each.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

MAKE_ECC, MAKE_RSA = 0.231, 2.196
SIGN, ECDH, RSA_DECRYPT = 0.069, 0.232, 0.167
OTHER: Final = 0.05

# TPM_CC: TPM 2.0 Part 2, 6.5.2.
CREATE_PRIMARY, CREATE, IMPORT, START_AUTH_SESSION, SIGN_, CERTIFY, ACTIVATE_CREDENTIAL = (
    *(0x131, 0x153, 0x156, 0x176),
    *(0x15D, 0x148, 0x147),
)
_RSA: Final = 0x0001
_KEYED_HASH: Final = 0x0008
_NULL: Final = 0x40000007
_RSA_BYTES: Final = 256
_HEADER_BYTES: Final = 10


def seconds_of(command: bytes) -> float:
    """Return the published time of a whole command."""
    code = int.from_bytes(command[6:10], "big")
    return _TIMES[code](command) if code in _TIMES else OTHER


def _make(command: bytes) -> float:
    """TPM2_CreatePrimary and TPM2_Create: one handle, authorisations, the sensitive area, the template."""
    at = _HEADER_BYTES + 4
    at += 4 + int.from_bytes(command[at : at + 4], "big")
    at += 2 + int.from_bytes(command[at : at + 2], "big")
    kind = int.from_bytes(command[at + 2 : at + 4], "big")
    return {_RSA: MAKE_RSA, _KEYED_HASH: OTHER}.get(kind, MAKE_ECC)


def _start_session(command: bytes) -> float:
    """TPM2_StartAuthSession: the key of the salt, an object, a nonce, the encrypted salt."""
    if int.from_bytes(command[10:14], "big") == _NULL:
        return OTHER
    at = _HEADER_BYTES + 8
    at += 2 + int.from_bytes(command[at : at + 2], "big")
    return _open(int.from_bytes(command[at : at + 2], "big"))


def _activate(command: bytes) -> float:
    """TPM2_ActivateCredential: two handles, authorisations, the credential, the encrypted secret."""
    at = _HEADER_BYTES + 8
    at += 4 + int.from_bytes(command[at : at + 4], "big")
    at += 2 + int.from_bytes(command[at : at + 2], "big")
    return _open(int.from_bytes(command[at : at + 2], "big"))


def _open(encrypted_bytes: int) -> float:
    """What is encrypted to an RSA key of 2048 bits is as long as the key; to an ECC key, shorter."""
    return RSA_DECRYPT if encrypted_bytes == _RSA_BYTES else ECDH


_TIMES: Final[dict[int, Callable[[bytes], float]]] = {
    CREATE_PRIMARY: _make,
    CREATE: _make,
    START_AUTH_SESSION: _start_session,
    ACTIVATE_CREDENTIAL: _activate,
    IMPORT: lambda _: ECDH,
    SIGN_: lambda _: SIGN,
    CERTIFY: lambda _: SIGN,
}
