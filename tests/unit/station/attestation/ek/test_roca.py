"""Keys of the faulty Infineon library are recognised, and no others."""

from __future__ import annotations

import math
import secrets
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from shared.errors import BirthmarkError
from station.attestation.ek import roca
from station.attestation.ek.roca import is_roca
from station.attestation.ek.roots import load_ek_roots
from station.attestation.ek.verification import EkTrust, verify_ek
from station.config import EkPolicy
from tests.harness.vendor_lab import NOW, Vendor, usage, write_roots

# A weak key that is published with the authors' tool (crocs-muni/roca, roca/tests/data/mod03.txt).
PUBLISHED = int(
    "9dcd7420e420c270a68060eb8b5aa7457a9f6648f86fafed2775cc1f79ae962f1e63f1b9e51c55f9ea6fdc7332e9b005"
    "8c9ff2eb1fc89855029cf6aafe21e689feb38ac9ffb12f1ce371bb5d0e9aae64161abce74b4244bf68f1edb4411f756a"
    "097c8929c14740245ea355f8332d1aa36bb50c7dcb4505da8de02e4e53d38f8df06097da7524df0df93db48eac8cc4af"
    "2d3a16257eb2b2adca6ba464e5974fa92550d31b1babf161e7692d00b86e3dd886ecab4abfbe1a8f8cc263ff4af55cdb"
    "45f4249a5193925f5e983d762f0b6800943eb0267b08f42ed311ce1f5c86eacbc8ce4d3cb7a2fee1ef5641423a1cf411"
    "4e5ecf50034a60a412523af9e6f4aa11",
    16,
)


def product(primes: int) -> int:
    """The library's M for keys of one length: the product of the first `primes` primes."""
    found: list[int] = []
    number = 2
    while len(found) < primes:
        if all(number % prime for prime in found):
            found.append(number)
        number += 1
    return math.prod(found)


def faulty_prime(bits: int, m: int) -> int:
    """A number as the library makes its primes; whether it is a prime makes no difference to the fingerprint."""
    return (secrets.randbits(bits - m.bit_length()) | 1 << (bits - m.bit_length() - 1)) * m + pow(
        65537, secrets.randbits(200), m
    )


def test_a_published_weak_key_is_recognised() -> None:
    assert PUBLISHED.bit_length() == 2048
    assert is_roca(PUBLISHED)


@pytest.mark.parametrize(("bits", "primes"), [(512, 39), (1024, 71), (2048, 126), (3072, 126), (4096, 225)])
def test_keys_made_as_the_library_makes_them_are_recognised(bits: int, primes: int) -> None:
    """The number of primes in M for each length is that of the paper, table 1."""
    m = product(primes)
    for _ in range(50):
        assert is_roca(faulty_prime(bits // 2, m) * faulty_prime(bits // 2, m))


def test_thousands_of_honest_moduli_are_not() -> None:
    """Random odd numbers without small factors, which is all that the fingerprint sees of an honest modulus."""
    for _ in range(5_000):
        modulus = secrets.randbits(2048) | 1 << 2047 | 1
        assert not is_roca(modulus)


def test_honest_keys_are_not() -> None:
    for _ in range(3):
        assert not is_roca(rsa.generate_private_key(65537, 2048).public_key().public_numbers().n)


def test_residues_that_are_right_one_by_one_are_not_enough() -> None:
    """A number that is a power of 65537 modulo each prime, but of another exponent modulo each, is no weak key."""
    number = 0
    for at, prime in enumerate(roca._PRIMES):
        others = roca._PRODUCT // prime
        number += pow(65537, at, prime) * others * pow(others, -1, prime)
    assert all(pow(number, roca._order(prime), prime) == 1 for prime in roca._PRIMES)
    assert not is_roca(number % roca._PRODUCT)


@pytest.mark.attack("a TPM shows an endorsement key of Infineon's faulty library (ROCA), certified by a known vendor")
def test_a_weak_endorsement_key_is_refused_by_name_although_its_vendor_vouches_for_it(
    tmp_path: Path, got: Callable[[str], None]
) -> None:
    vendor = Vendor()
    roots = load_ek_roots(write_roots(tmp_path, vendor))
    key = rsa.RSAPublicNumbers(65537, PUBLISHED).public_key()
    der = vendor.ek(key, key_usage=usage(key_encipherment=True))
    for policy in (EkPolicy.REQUIRE, EkPolicy.SIMULATOR):
        with pytest.raises(BirthmarkError) as caught:
            verify_ek(der, roots, policy, now=NOW, key=key)
        assert caught.value.code == "attestation.ek-weak-key"
        assert "firmware" in caught.value.advice
    verdict = verify_ek(der, roots, EkPolicy.RECORD, now=NOW, key=key)
    assert verdict.trust is EkTrust.UNVERIFIED
    assert "CVE-2017-15361" in verdict.reason
    got(f"nothing: refused [{caught.value.code}]")
