"""Key derivation agrees with a library's, and protected data opens as a TPM opens it."""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import replace

import pytest
from cryptography.hazmat.decrepit.ciphers.modes import CFB
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms
from cryptography.hazmat.primitives.kdf.concatkdf import ConcatKDFHash
from cryptography.hazmat.primitives.kdf.kbkdf import KBKDFHMAC, CounterLocation, Mode

from shared.errors import BirthmarkError
from station.attestation.tpm2.protection import kdfa, kdfe, outer_wrap, share_seed
from station.attestation.tpm2.structures import Alg, Public, Symmetric, read_public
from tests.harness.soft_device import SRK, Key

NAME = bytes.fromhex("000b") + hashlib.sha256(b"an object").digest()
SEED = hashlib.sha256(b"a seed").digest()
STORAGE_KEY = Key(SRK, bytes.fromhex("000600800043"), bytes.fromhex("0010"))
TARGET = read_public(STORAGE_KEY.public)
RSA = rsa.generate_private_key(65537, 2048)

SHA_256 = pytest.param(hashlib.sha256, hashes.SHA256(), id="SHA-256")
SHA_384 = pytest.param(hashlib.sha384, hashes.SHA384(), id="SHA-384")


def library_kdfa(algorithm: hashes.HashAlgorithm, key: bytes, label: bytes, context: bytes, bits: int) -> bytes:
    """SP 800-108 in counter mode as TCG Part 1, 11.4.10.2 uses it: 32 bits of counter before, of length behind."""
    before = CounterLocation.BeforeFixed
    return KBKDFHMAC(algorithm, Mode.CounterMode, bits // 8, 4, 4, before, label, context, None).derive(key)


@pytest.mark.parametrize(("hash_", "algorithm"), [SHA_256, SHA_384])
@pytest.mark.parametrize("bits", [128, 256, 384, 1024])
def test_kdfa_is_sp_800_108(hash_: object, algorithm: hashes.HashAlgorithm, bits: int) -> None:
    assert callable(hash_)
    made = kdfa(hash_, b"key", b"STORAGE", NAME, bits)
    assert made == library_kdfa(algorithm, b"key", b"STORAGE", NAME, bits)
    assert len(made) == bits // 8


@pytest.mark.parametrize(("hash_", "algorithm"), [SHA_256, SHA_384])
@pytest.mark.parametrize("bits", [128, 256, 384, 1024])
def test_kdfe_is_sp_800_56as_concatenation(hash_: object, algorithm: hashes.HashAlgorithm, bits: int) -> None:
    assert callable(hash_)
    u, v = b"u" * 32, b"v" * 32
    library = ConcatKDFHash(algorithm, bits // 8, b"DUPLICATE\0" + u + v).derive(b"z" * 32)
    assert kdfe(hash_, b"z" * 32, b"DUPLICATE", u, v, bits) == library


@pytest.mark.parametrize(
    ("private", "name_alg", "algorithm"),
    [
        (ec.generate_private_key(ec.SECP256R1()), Alg.SHA256, hashes.SHA256()),
        (ec.generate_private_key(ec.SECP384R1()), Alg.SHA384, hashes.SHA384()),
    ],
    ids=["P-256", "P-384"],
)
def test_the_holder_of_an_ecc_key_recovers_the_seed(
    private: ec.EllipticCurvePrivateKey, name_alg: Alg, algorithm: hashes.HashAlgorithm
) -> None:
    target = replace(TARGET, name_alg=name_alg, _key=private.public_key())
    seed, shared = share_seed(target, b"IDENTITY")
    width = private.curve.key_size // 8
    assert shared[:4] == (2 * width + 4).to_bytes(2, "big") + width.to_bytes(2, "big")
    x, y = shared[4 : 4 + width], shared[6 + width :]
    point = ec.EllipticCurvePublicKey.from_encoded_point(private.curve, b"\x04" + x + y)
    static_x = private.public_key().public_numbers().x.to_bytes(width, "big")
    z = private.exchange(ec.ECDH(), point)
    assert seed == ConcatKDFHash(algorithm, algorithm.digest_size, b"IDENTITY\0" + x + static_x).derive(z)


@pytest.mark.parametrize(
    ("name_alg", "algorithm"), [(Alg.SHA256, hashes.SHA256()), (Alg.SHA384, hashes.SHA384())], ids=["256", "384"]
)
def test_the_holder_of_an_rsa_key_recovers_the_seed(name_alg: Alg, algorithm: hashes.HashAlgorithm) -> None:
    target = replace(TARGET, kind=Alg.RSA, name_alg=name_alg, _key=RSA.public_key())
    seed, shared = share_seed(target, b"DUPLICATE")
    oaep = padding.OAEP(padding.MGF1(algorithm), algorithm, b"DUPLICATE\0")
    assert shared[:2] == (256).to_bytes(2, "big")
    assert RSA.decrypt(shared[2:], oaep) == seed
    assert len(seed) == algorithm.digest_size


def test_every_seed_is_another() -> None:
    assert len({share_seed(TARGET, b"IDENTITY")[0] for _ in range(8)}) == 8


def opened(target: Public, wrapped: bytes, name: bytes) -> bytes:
    """Open protected data as a TPM does: the integrity first, then the content; with the library's derivation."""
    assert target.symmetric is not None
    key = library_kdfa(hashes.SHA256(), SEED, b"INTEGRITY", b"", 256)
    assert wrapped[:2] == (32).to_bytes(2, "big")
    assert wrapped[2:34] == hmac.digest(key, wrapped[34:] + name, hashlib.sha256)
    storage = library_kdfa(hashes.SHA256(), SEED, b"STORAGE", name, target.symmetric.bits)
    decryptor = Cipher(algorithms.AES(storage), CFB(bytes(16))).decryptor()
    return decryptor.update(wrapped[34:]) + decryptor.finalize()


@pytest.mark.parametrize("bits", [128, 256])
def test_wrapped_content_opens_under_seed_and_name(bits: int) -> None:
    target = replace(TARGET, symmetric=Symmetric(bits))
    wrapped = outer_wrap(target, SEED, NAME, b"what only this TPM may read")
    assert opened(target, wrapped, NAME) == b"what only this TPM may read"


def test_content_is_bound_to_the_objects_name() -> None:
    other = NAME[:-1] + bytes([NAME[-1] ^ 1])
    one, another = (outer_wrap(TARGET, SEED, name, b"content") for name in (NAME, other))
    assert one[2:34] != another[2:34]
    assert one[34:] != another[34:]


def test_a_key_without_symmetric_parameters_protects_nothing() -> None:
    with pytest.raises(BirthmarkError) as caught:
        outer_wrap(replace(TARGET, symmetric=None), SEED, NAME, b"content")
    assert caught.value.code == "attestation.not-a-storage-key"


def test_a_coordinate_with_a_leading_zero_keeps_its_width(monkeypatch: pytest.MonkeyPatch) -> None:
    """A case of keylime's test_tpm2_objects, by idea: one key in 128 has such a coordinate."""

    def seldom() -> ec.EllipticCurvePrivateKey:
        keys = (ec.generate_private_key(ec.SECP256R1()) for _ in range(10_000))
        return next(key for key in keys if key.public_key().public_numbers().x < 1 << 248)

    ephemeral, private = seldom(), seldom()
    storage_key = read_public(replace(STORAGE_KEY, private=private).public)
    monkeypatch.setattr(ec, "generate_private_key", lambda _curve: ephemeral)
    seed, shared = share_seed(storage_key, b"DUPLICATE")
    point = shared[2:]
    assert (shared[:2], point[:3], point[34:36]) == (b"\0\x44", b"\0\x20\0", b"\0\x20")
    ours, theirs = (key.public_key().public_numbers().x.to_bytes(32, "big") for key in (ephemeral, private))
    z = private.exchange(ec.ECDH(), ephemeral.public_key())
    assert seed == kdfe(hashlib.sha256, z, b"DUPLICATE", ours, theirs, 256)
