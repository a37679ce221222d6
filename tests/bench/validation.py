"""Measures how many NUC tokens a second a station validates over HTTP.

A real station process gets tokens as cameras make them, over sixteen loopback connections. The client is another
process and takes its share of two cores, so the figures are for both. Units are written directly to the registry, which
takes seconds where provisioning takes minutes.
"""

from __future__ import annotations

import asyncio
import os
import re
import statistics
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import aiohttp
import msgspec

from shared.birthmark.derivation import token_key
from shared.birthmark.nuc_token import seal_token
from shared.types import MasterKey, NucHash, TableId, key_index
from station.config import CONFIG_NAME
from station.registry.database import Database
from station.registry.location import registry_url
from station.registry.schema import assignments
from station.registry.schema import units as table
from station.secrets import key_tables
from station.secrets.blind_index import BlindIndex
from station.secrets.station_secret import StationSecret
from virtual.station import VirtualStation

CONNECTIONS: Final = 16
SECONDS_MAX: Final = 30.0
"""The longest run; a slow machine makes fewer requests than asked for."""

_TOKENS: Final = 500
_JSON: Final = {"Content-Type": "application/json"}


def measure(units: tuple[int, ...], requests: int) -> Mapping[str, object]:
    """Validate `requests` valid tokens and as many invalid ones, on registries of different sizes."""
    figures: dict[str, object] = {}
    for count in units:
        with tempfile.TemporaryDirectory() as folder:
            figures |= _measured(Path(folder), count, requests)
    return figures


def _measured(folder: Path, count: int, requests: int) -> dict[str, object]:
    with VirtualStation(folder / "station", str(folder / "none")) as station:
        station.init("--tables", "250")
        config = station.data_dir / CONFIG_NAME
        config.write_text(re.sub(r"validation = [0-9.]+", "validation = 100000.0", config.read_text()))
        bodies, refused = asyncio.run(_fill(station.data_dir, count))
        station.start()
        found: dict[str, object] = {}
        for name, some, valid in (("known units", bodies, True), ("unknown units", _nobody(bodies), False)):
            rate, slow = asyncio.run(_load(station.address, some, requests, valid=valid))
            label = f"{count:,} units: tokens of {name}, {CONNECTIONS} connections"
            found[label] = f"{rate:,.0f} a second, 99 of 100 within {slow * 1000:.1f} ms"
        legacy = [(_legacy(one), _legacy(other)) for one, other in refused]
        for name, pairs in (("a FAIL", refused), ("a legacy FAIL", legacy)):
            known, nobody = asyncio.run(_alternate(station.address, pairs, requests // 2))
            label = f"{count:,} units: {name} of a known unit, and of nobody"
            found[label] = f"{known * 1e6:,.0f} and {nobody * 1e6:,.0f} µs (medians, one connection)"
        return found


async def _fill(data_dir: Path, count: int) -> tuple[list[bytes], list[tuple[bytes, bytes]]]:
    """Write `count` provisioned units.

    Returns requests of some of them, and pairs that fail: of a unit under a table that it does not have, and of nobody.
    """
    secret = StationSecret.load(data_dir)
    index = BlindIndex(secret)
    database = Database(registry_url(data_dir), "bench")
    bodies: list[bytes] = []
    refused: list[tuple[bytes, bytes]] = []
    try:
        async with database.write() as connection:
            tables = await key_tables.load(connection, secret)
            for start in range(1, count + 1, 1000):
                numbers = range(start, min(start + 1000, count + 1))
                rows, given = [], []
                for number in numbers:
                    nuc_hash, chosen = NucHash(os.urandom(32)), tables.choose()
                    rows.append(_row(number, index.of(nuc_hash)))
                    given += [{"unit_id": number, "table_id": table_id} for table_id in chosen]
                    if len(bodies) < _TOKENS and number % max(1, count // _TOKENS) == 0:
                        bodies.append(_body(tables.master_key(chosen[0]), nuc_hash, chosen[0]))
                        other = next(table_id for table_id in tables.ids() if table_id not in chosen)
                        key, nobody = tables.master_key(other), NucHash(os.urandom(32))
                        refused.append((_body(key, nuc_hash, other), _body(key, nobody, other)))
                await connection.execute(table.insert(), rows)
                await connection.execute(assignments.insert(), given)
    finally:
        await database.close()
    return bodies, refused


def _row(number: int, nuc_blind_index: bytes) -> dict[str, object]:
    texts = [
        "model",
        "station",
        "port",
        "agent",
        "ek_trust",
        "ek_reason",
        "ek_anchor",
        "tpm_manufacturer",
        "tpm_model",
        "tpm_firmware",
    ]
    return {
        **dict.fromkeys(texts, ""),
        "id": number,
        "serial": f"unit-{number}",
        "state": "provisioned",
        "key_holder": "software",
        "family": "Raspberry Pi",
        "device_fingerprint": os.urandom(32),
        "nuc_blind_index": nuc_blind_index,
        "reserved_at": 1_795_500_000,
        "issued_at": 1_795_500_000,
        "provisioned_at": 1_795_500_000,
    }


def _body(master_key: MasterKey, nuc_hash: NucHash, table_id: TableId) -> bytes:
    index = key_index(int.from_bytes(os.urandom(2), "big") % 1000)
    token = seal_token(token_key(master_key, index), os.urandom(12), nuc_hash, table_id, index)
    return msgspec.json.encode({"camera_token": token, "manufacturer_authority_id": "BENCH"})


def _legacy(body: bytes) -> bytes:
    """Return the same token in the legacy form, its own pair the first of three."""
    token = msgspec.json.decode(body)["camera_token"]
    return msgspec.json.encode(
        {
            "ciphertext": token["ciphertext"] + token["nonce"] + token["auth_tag"],
            "table_references": [token["table_id"], 0, 1],
            "key_indices": [token["key_index"], 500, 501],
        }
    )


def _nobody(bodies: list[bytes]) -> list[bytes]:
    """Return the same requests with another tag, which no unit made."""
    return [re.sub(rb'"auth_tag":"[0-9a-f]{8}', b'"auth_tag":"00000000', body) for body in bodies]


async def _load(address: str, bodies: list[bytes], requests: int, *, valid: bool) -> tuple[float, float]:
    """Return requests a second, and the time within which 99 of 100 were answered."""
    expected = b'{"valid":true,"message":"PASS"}' if valid else b'{"valid":false,"message":"FAIL"}'
    times: list[float] = []
    left = iter(range(requests))
    ends = time.perf_counter() + SECONDS_MAX

    async def client(session: aiohttp.ClientSession) -> None:
        for number in left:
            begun = time.perf_counter()
            if begun > ends:
                return
            async with session.post(f"{address}validate", data=bodies[number % len(bodies)], headers=_JSON) as answer:
                if await answer.read() != expected:
                    raise AssertionError(f"{answer.status}: another answer than expected")
            times.append(time.perf_counter() - begun)

    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=CONNECTIONS)) as session:
        begun = time.perf_counter()
        await asyncio.gather(*(client(session) for _ in range(CONNECTIONS)))
        taken = time.perf_counter() - begun
    return len(times) / taken, sorted(times)[int(len(times) * 0.99)]


async def _alternate(address: str, pairs: list[tuple[bytes, bytes]], rounds: int) -> tuple[float, float]:
    """The median times of the first and of the second request of each pair, sent in turn over one connection."""
    times: tuple[list[float], list[float]] = ([], [])
    ends = time.perf_counter() + SECONDS_MAX
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=1)) as session:
        for number in range(rounds):
            for kind in (0, 1) if number % 2 else (1, 0):
                body = pairs[number % len(pairs)][kind]
                begun = time.perf_counter()
                async with session.post(f"{address}validate", data=body, headers=_JSON) as answer:
                    if await answer.read() != b'{"valid":false,"message":"FAIL"}':
                        raise AssertionError(f"{answer.status}: another answer than expected")
                times[kind].append(time.perf_counter() - begun)
            if time.perf_counter() > ends:
                break
    return statistics.median(times[0]), statistics.median(times[1])
