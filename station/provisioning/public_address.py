"""Checks that other machines can reach `public_url`, which stands in every certificate and is loopback by default."""

from __future__ import annotations

from station.attestation.ek.verification import EkTrust
from station.config import AuthorityConfig, EkPolicy
from station.registry import queries
from station.registry.database import Database


def advice(authority: AuthorityConfig) -> str:
    """Return the warning about an address that no other machine can reach."""
    return (
        f"public_url is {authority.public_url}, which no other machine can reach, and every certificate names it for "
        "validation and for its revocation list: set public_url under [authority] in station.toml, before the first "
        "unit is provisioned."
    )


def matters(policy: EkPolicy) -> bool:
    """Whether `policy` admits only units with a real TPM, not simulators."""
    return policy is not EkPolicy.SIMULATOR


async def unreachable(authority: AuthorityConfig, policy: EkPolicy, database: Database) -> bool:
    """Whether real units get, or got, certificates with an address that no other machine can reach."""
    if not authority.local_only:
        return False
    if matters(policy):
        return True
    async with database.read() as connection:
        return await queries.any_trusted(connection, EkTrust.VERIFIED.value)
