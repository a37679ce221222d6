"""Encrypts data so that only one TPM can decrypt it: key derivation, seed exchange, outer wrap.

Section numbers are those of the TCG "Trusted Platform Module Library, Part 1: Architecture", family 2.0, revision 1.59.
"""

from __future__ import annotations

import hmac
import os
from collections.abc import Callable
from typing import Any, Final

from cryptography.hazmat.decrepit.ciphers.modes import CFB
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms

from shared.errors import BirthmarkError
from station.attestation.tpm2.structures import HASHES, Alg, Public, sized

_OAEP_HASHES: Final[dict[Alg, type[hashes.HashAlgorithm]]] = {Alg.SHA256: hashes.SHA256, Alg.SHA384: hashes.SHA384}


def kdfa(hash_: Callable[..., Any], key: bytes, label: bytes, context: bytes, bits: int) -> bytes:
    """KDFa (11.4.10.2): SP 800-108 in counter mode with HMAC. `label` has no zero byte, `bits` is a multiple of 8."""
    tail = label + b"\0" + context + bits.to_bytes(4, "big")
    return _derive_blocks(lambda counter: hmac.digest(key, counter + tail, hash_), bits)


def kdfe(hash_: Callable[..., Any], z: bytes, label: bytes, party_u: bytes, party_v: bytes, bits: int) -> bytes:
    """KDFe (11.4.10.3): SP 800-56A's concatenation KDF over the shared x-coordinate `z`."""
    tail = z + label + b"\0" + party_u + party_v
    return _derive_blocks(lambda counter: hash_(counter + tail).digest(), bits)


def _derive_blocks(block: Callable[[bytes], bytes], bits: int) -> bytes:
    made = b""
    counter = 0
    while len(made) * 8 < bits:
        counter += 1
        made += block(counter.to_bytes(4, "big"))
    return made[: bits // 8]


def share_seed(target: Public, label: bytes) -> tuple[bytes, bytes]:
    """Make a seed. Returns it and the marshalled TPM2B_ENCRYPTED_SECRET that `target`'s TPM decrypts to it.

    RSA: OAEP with the key's name hash (B.10.4). ECC: one-pass ECDH with an ephemeral key (C.6.1).
    """
    hash_ = HASHES[target.name_alg]
    size = hash_().digest_size
    key = target.key()
    if isinstance(key, ec.EllipticCurvePublicKey):
        ephemeral = ec.generate_private_key(key.curve)
        width = (key.curve.key_size + 7) // 8
        ours, theirs = ephemeral.public_key().public_numbers(), key.public_numbers()
        x, y, static_x = (coordinate.to_bytes(width, "big") for coordinate in (ours.x, ours.y, theirs.x))
        seed = kdfe(hash_, ephemeral.exchange(ec.ECDH(), key), label, x, static_x, size * 8)
        return seed, sized(sized(x) + sized(y))
    seed = os.urandom(size)
    oaep_hash = _OAEP_HASHES[target.name_alg]()
    return seed, sized(key.encrypt(seed, padding.OAEP(padding.MGF1(oaep_hash), oaep_hash, label + b"\0")))


def outer_wrap(target: Public, seed: bytes, name: bytes, content: bytes) -> bytes:
    """Encrypt `content` for `target`, bound to the object `name`: integrity HMAC, then ciphertext (22.4, 24.4).

    The initialisation vector may be zero because the key comes from a fresh seed and is used once.
    """
    if target.symmetric is None:
        raise BirthmarkError("attestation.not-a-storage-key")
    hash_ = HASHES[target.name_alg]
    storage_key = kdfa(hash_, seed, b"STORAGE", name, target.symmetric.bits)
    encryptor = Cipher(algorithms.AES(storage_key), CFB(bytes(16))).encryptor()
    ciphertext = encryptor.update(content) + encryptor.finalize()
    integrity_key = kdfa(hash_, seed, b"INTEGRITY", b"", hash_().digest_size * 8)
    return sized(hmac.digest(integrity_key, ciphertext + name, hash_)) + ciphertext
