"""Recognises RSA keys of the faulty Infineon library (ROCA, CVE-2017-15361), whose private keys can be computed.

Every prime of that library is k * M + (65537 ** a mod M), where M is the product of the first primes: so its moduli,
too, are powers of 65537 modulo M, as hardly one other modulus in 2 ** 150 is. This is the fingerprint of Nemec, Sys,
Svenda, Klinec and Matyas, "The Return of Coppersmith's Attack" (ACM CCS 2017), section 2.3, with the M of the shortest
keys, which divides that of all longer ones. The discrete logarithm is found as Pohlig and Hellman do: the order of
65537 has only small factors, and a logarithm exists if one does for each of them. The authors' own tool (roca-detect)
has not been maintained since, and no library that we use has the test.
"""

from __future__ import annotations

import math
from typing import Final

_GENERATOR: Final = 65537
_PRIMES: Final = tuple(n for n in range(2, 168) if all(n % divisor for divisor in range(2, n)))
_PRODUCT: Final = math.prod(_PRIMES)


def _order(prime: int) -> int:
    """The order of the generator modulo a prime."""
    return next(order for order in range(1, prime) if pow(_GENERATOR, order, prime) == 1)


def _prime_powers(number: int) -> tuple[int, ...]:
    """The prime powers whose product is `number`, which has no prime factor above 167."""
    return tuple(
        max(prime**power for power in range(1, number.bit_length()) if number % prime**power == 0)
        for prime in _PRIMES
        if number % prime == 0
    )


_ORDER: Final = math.lcm(*(_order(prime) for prime in _PRIMES))
_SUBGROUPS: Final = {
    cofactor: frozenset(pow(_GENERATOR, cofactor * exponent, _PRODUCT) for exponent in range(prime_power))
    for prime_power in _prime_powers(_ORDER)
    for cofactor in (_ORDER // prime_power,)
}
"""For each prime power that divides the order: its cofactor, and the subgroup of that many elements."""


def is_roca(modulus: int) -> bool:
    """Whether an RSA modulus has the fingerprint of the faulty library."""
    return pow(modulus, _ORDER, _PRODUCT) == 1 and all(
        pow(modulus, cofactor, _PRODUCT) in subgroup for cofactor, subgroup in _SUBGROUPS.items()
    )
