"""Whether others can reach the address in every certificate: `public_url` is loopback unless somebody sets it."""

from __future__ import annotations

from station.attestation.ek.verification import EkTrust
from station.config import AuthorityConfig, EkPolicy
from station.registry import queries
from station.registry.database import Database


def advice(authority: AuthorityConfig) -> str:
    """What to tell of an address that no other machine can reach."""
    return (
        f"public_url is {authority.public_url}, which no other machine can reach, and every certificate names it for "
        "validation and for its revocation list: set public_url under [authority] in station.toml, before the first "
        "unit is provisioned."
    )


def matters(policy: EkPolicy) -> bool:
    """Whether units that `policy` lets in are real ones."""
    return policy is not EkPolicy.SIMULATOR


async def unreachable(authority: AuthorityConfig, policy: EkPolicy, database: Database) -> bool:
    """Whether real units get, or have got, certificates with an address that nobody else can reach."""
    if not authority.local_only:
        return False
    if matters(policy):
        return True
    async with database.read() as connection:
        return await queries.any_trusted(connection, EkTrust.VERIFIED.value)
