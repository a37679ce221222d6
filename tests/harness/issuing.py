"""Issues to an applicant as a session does: recognise, reserve, sign, record."""

from __future__ import annotations

import datetime as dt
import os

from cryptography.hazmat.primitives.asymmetric import ec

from shared.types import NucHash
from station.provisioning.issuance import Granted, Issuance, Subject
from station.registry import queries
from station.registry.database import Connection
from station.registry.queries import PAGE_UNITS, Filter
from station.registry.records import Applicant, Unit


async def issue(
    issuance: Issuance, applicant: Applicant, at: float, key: ec.EllipticCurvePublicKey | None = None
) -> Granted:
    """Give the applicant what it is due at `at`, seconds since 1970; without `key`, for a new one."""
    moment = dt.datetime.fromtimestamp(at, dt.UTC)
    granted = await issuance.reserve(applicant, moment)
    if isinstance(granted, Granted):
        return granted
    subject = Subject(key or ec.generate_private_key(ec.SECP256R1()).public_key(), NucHash(os.urandom(32)))
    certificate = await issuance.sign(applicant, subject, granted, moment)
    return await issuance.record(applicant, granted, certificate, moment)


async def listed(connection: Connection) -> list[Unit]:
    """The units that a list shows, the latest first."""
    return (await queries.page(connection, Filter(), limit=PAGE_UNITS)).units
