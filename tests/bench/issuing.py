"""What a certificate costs the registry, and what a long CRL costs everybody else."""

from __future__ import annotations

import asyncio
import datetime as dt
import os
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from shared.types import NucHash, board_serial
from station.authority.crl import RevokedCertificate
from station.provisioning.issuance import Granted, Subject
from station.registry import reservations
from station.registry.records import Applicant, CrlScope
from tests.harness import issuing
from tests.harness.applicants import FIRST
from tests.harness.bare_station import NOW, BareStation, open_bare_station

_KEY: Final = ec.generate_private_key(ec.SECP256R1()).public_key()


def measure(units: int, entries: int) -> dict[str, str]:
    return asyncio.run(_measure(units, entries))


async def _measure(units: int, entries: int) -> dict[str, str]:
    with tempfile.TemporaryDirectory(prefix="birthmark-bench-", dir=Path.home()) as name:
        async with open_bare_station(Path(name)) as station:
            applicants = [_applicant() for _ in range(2 * units)]
            two: list[float] = []
            one: list[float] = []
            spent = [0.0, 0.0]
            for first, second in zip(applicants[::2], applicants[1::2], strict=True):  # in turns: one machine for both
                spent[0] += await _timed(two, partial(issuing.issue, station.issuance, first, NOW, _KEY))
                spent[1] += await _timed(one, partial(_in_one_commit, station, second))
            found = {
                "reserve and record, two commits": _times(two, spent[0]),
                "the same in one commit": _times(one, spent[1]),
                "two commits take, compared with one": f"{statistics.median(two) / statistics.median(one):.2f} times",
            }
            return found | await _long_list(station, entries)


def _applicant() -> Applicant:
    tpm, key, sensor = (os.urandom(32) for _ in range(3))
    serial = board_serial(os.urandom(8).hex())
    return replace(FIRST, serial=serial, ek_fingerprint=tpm, device_fingerprint=key, nuc_blind_index=sensor)


async def _timed(times: list[float], work: Callable[[], Awaitable[object]]) -> float:
    begun, spent = time.perf_counter(), time.process_time()
    await work()
    times.append(time.perf_counter() - begun)
    return time.process_time() - spent


def _times(times: list[float], spent: float) -> str:
    return f"{statistics.median(times) * 1000:.1f} ms (median), {spent / len(times) * 1000:.1f} ms of processor time"


async def _in_one_commit(station: BareStation, applicant: Applicant) -> None:
    moment = dt.datetime.fromtimestamp(NOW, dt.UTC)
    async with station.database.write() as connection:
        serial = x509.random_serial_number()
        tables = station.tables.choose()
        reservation = await reservations.reserve_unit(connection, applicant, serial, tables, NOW)
        subject = Subject(_KEY, NucHash(os.urandom(32)))
        certificate = await station.issuance.sign(applicant, subject, reservation, moment)
        signed = station.issuance.signed(certificate)
        await reservations.record(connection, reservation, signed, applicant, NOW)


async def _long_list(station: BareStation, entries: int) -> dict[str, str]:
    moment = dt.datetime.fromtimestamp(NOW, dt.UTC)
    revoked = [RevokedCertificate(number, moment, "keyCompromise") for number in range(1, entries + 1)]
    took: list[float] = []
    issuer = station.authority.issuer
    # Not a partial: mypy checks a lambda's arguments.
    signing = asyncio.create_task(_timed(took, lambda: issuer.revocation_list(revoked, 1, moment, CrlScope.DEVICES)))
    waits: list[float] = []
    while not signing.done():
        granted = time.perf_counter()
        assert isinstance(await issuing.issue(station.issuance, _applicant(), NOW, _KEY), Granted)
        waits.append(time.perf_counter() - granted)
    await signing
    return {
        f"a CRL of {entries:,} entries": f"{took[0]:.2f} s",
        "units issued to while it was signed": f"{len(waits)}, the slowest in {max(waits) * 1000:.0f} ms",
    }
